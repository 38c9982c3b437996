using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Passes.HalfPrecision;
using ModelBuildTasks.Engine.Passes.Quantization;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Passes.Quantization.Storage;

/// <summary>The form of float16 weights with float arithmetic.</summary>
[TestClass]
public sealed class HalfWeightsTests
{
    private static readonly RulePlan[] s_rules = [new(default, [], null, true) { Form = QuantizedForm.Half }];

    [TestMethod]
    public void The_nearest_float16_is_taken_and_beyond_the_range_the_largest()
    {
        // 2049 lies between two of them.
        CollectionAssert.AreEqual(new[] { (float)(Half)0.1f, 2048, 65504, -65504, 65504 }, HalfConversion.Round([0.1f, 2049, 1e6f, -float.MaxValue, 65519.99f]));
        Assert.IsTrue(float.IsNegative(HalfConversion.Round([-0f])[0]));
    }

    [TestMethod]
    [DataRow("digits_mobile/digits_mobile.onnx")]
    [DataRow("llama-aidreams/aidreams260k.onnx")]
    [DataRow("gtcrn/gtcrn_simple.onnx")]
    public void Weights_of_a_real_model_take_half_the_bytes_and_lose_next_to_nothing(string file)
    {
        using var model = QuantizeTests.Clean(file);
        var result = Run(model);
        var halved = result.Decisions.Where(d => d.What == "float16 weights").ToList();
        Assert.IsGreaterThan(result.Decisions.Count / 2, halved.Count);
        Assert.IsTrue(halved.All(d => d.BytesAfter * 2 == d.BytesBefore));
        var saved = (double)(model.ToBytes().Length - result.Model.ToBytes().Length) / halved.Sum(d => d.BytesBefore - d.BytesAfter);
        // Nodes and names take some of it; a mask beside the weights may be stored in fewer bytes too.
        Assert.IsTrue(saved is > 0.4 and < 1.2, $"{saved}");
        Assert.IsGreaterThan(50, QuantizeTests.Sqnr(model, result.Model, ListDataset.Random(model, 2)));
    }

    [TestMethod]
    public void A_weight_beyond_the_range_gives_finite_numbers_and_nothing_is_cast_at_inference()
    {
        float[] values = SmallModel.Values(1, 576);
        values[7] = 1e6f;
        var small = new SmallModel().Input("x", 4, 24).Floats("w", [24, 24], values).Node("MatMul", "x,w", "y").Output("y");
        var result = Run(small.Model);
        var stored = result.Model.Graph.Initializer.Single(i => (DataType)i.DataType == DataType.Float16);
        Assert.AreEqual(65504f, result.Model.ReadFloats(stored)[7]);
        Assert.AreEqual(0, QuantizeTests.Optimized(result.Model).GetValueOrDefault("Cast"));
    }

    [TestMethod]
    public void Nodes_that_read_one_weight_share_it()
    {
        var small = new SmallModel().Input("x", 4, 24).Random("w", 1, 24, 24).Node("MatMul", "x,w", "a").Node("MatMul", "a,w", "y").Output("y");
        var result = Run(small.Model);
        Assert.AreEqual((1, 1), (result.Model.Graph.Initializer.Count, result.Model.Graph.Node.Count(n => n.OpType == "Cast")));
    }

    [TestMethod]
    public void A_table_is_looked_up_in_half_precision_and_the_rows_are_widened()
    {
        var small = new SmallModel().Input("ids", DataType.Int64, 5).Random("t", 1, 200, 8).Node("Gather", "t,ids", "y").Output("y");
        var result = Run(small.Model);
        CollectionAssert.AreEqual(new[] { "Gather", "Cast" }, result.Model.Graph.Node.Select(n => n.OpType).ToArray());
        Assert.IsGreaterThan(60, QuantizeTests.Sqnr(small.Model, result.Model, ListDataset.Random(small.Model, 2)));
    }

    private static PassResult Run(OnnxModel model) => Quantize.Run(model, QuantizeTests.Plan(), QuantizeTests.Context() with { Rules = s_rules });
}
