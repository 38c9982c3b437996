using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Passes.Quantization;
using ModelBuildTasks.Engine.Passes.Quantization.Storage;
using ModelBuildTasks.Engine.Tests.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Passes.Quantization.Storage;

[TestClass]
public sealed class TransposedTwinsTests
{
    private const int Words = 40, Size = 24;

    [TestMethod]
    public void Codes_that_are_transposed_are_stored_once_with_the_same_result()
    {
        var small = Codes(transposed: true);
        var before = Outputs(small.Model);
        Assert.AreEqual(Words * Size, TransposedTwins.Merge(new RewriteContext(small.Model, QuantizeTests.Plan(), RuntimePolicies.Get("ort-cpu").Formats)));
        CollectionAssert.AreEqual(new[] { "a", "s" }, small.Graph.Initializer.Select(i => i.Name).ToArray());
        CollectionAssert.AreEqual(before, Outputs(small.Model));
    }

    [TestMethod]
    public void Codes_that_differ_in_one_place_stay_two()
    {
        var small = Codes(transposed: false);
        Assert.AreEqual(0L, TransposedTwins.Merge(new RewriteContext(small.Model, QuantizeTests.Plan(), RuntimePolicies.Get("ort-cpu").Formats)));
        Assert.HasCount(3, small.Graph.Initializer);
    }

    [TestMethod]
    public void A_tensor_that_is_listed_as_input_stays()
    {
        var small = Codes(transposed: true);
        small.Input("b", DataType.Int8, Size, Words);
        var before = Outputs(small.Model);
        TransposedTwins.Merge(new RewriteContext(small.Model, QuantizeTests.Plan(), RuntimePolicies.Get("ort-cpu").Formats));
        CollectionAssert.Contains(small.Graph.Initializer.Select(i => i.Name).ToList(), "b");
        CollectionAssert.AreEqual(before, Outputs(small.Model));
    }

    [TestMethod]
    [DataRow(ActivationMode.None, false)]
    [DataRow(ActivationMode.Dynamic, false)]
    [DataRow(ActivationMode.Dynamic, true)]
    [DataRow(ActivationMode.Uint8, true)]
    [DataRow(ActivationMode.Auto, true)]
    public void An_embedding_that_is_also_the_head_is_stored_once_also_when_weights_are_rounded_by_data(ActivationMode activations, bool calibrated)
    {
        var table = SmallModel.Values(1, Words * Size);
        var small = new SmallModel().Input("ids", DataType.Int64, 1, 8).Floats("table", [Words, Size], table).Floats("head", [Size, Words], Transposed(table))
            .Random("w", 2, Size, Size).Node("Gather", "table,ids", "e").Node("MatMul", "e,w", "h").Node("Relu", "h", "r").Node("MatMul", "r,head", "y").Output("y");
        var batches = Enumerable.Range(0, 4).Select(i => new Engine.Data.Batch(
            new Dictionary<string, Engine.Data.Tensor> { ["ids"] = Engine.Data.Tensor.Of<long>(DataType.Int64, [1, 8], [.. Enumerable.Range(0, 8).Select(n => (long)(n * (i + 3) % Words))]) }, null, 1));
        var data = new ListDataset([.. batches]);
        var result = Quantize.Run(small.Model, QuantizeTests.Plan(activations), QuantizeTests.Context(calibrated ? data : null));
        Assert.IsTrue(result.Decisions.All(d => d.What.StartsWith("int8", StringComparison.Ordinal)), result.Summary);
        Assert.AreEqual(1, result.Model.Graph.Initializer.Count(i => (DataType)i.DataType == DataType.Int8 && i.Dims.Count == 2 && ElementTypes.Count(i.Dims) == Words * Size));
        Assert.AreEqual(1, result.Model.Graph.Node.Count(n => n.OpType == "Transpose"));
        Assert.IsGreaterThan(25, QuantizeTests.Sqnr(small.Model, result.Model, data));
        // The runtime transposes when it loads the model, not when it runs.
        Assert.AreEqual(0, QuantizeTests.Optimized(result.Model).GetValueOrDefault("Transpose"));
    }

    /// <summary>y = x · a, z = y' · b with b the transposition of a, both in codes.</summary>
    private static SmallModel Codes(bool transposed)
    {
        var small = new SmallModel().Input("x", 2, Words);
        sbyte[] codes = [.. SmallModel.Values(1, Words * Size).Select(v => (sbyte)(v * 127))];
        var other = Transposed(codes);
        if (!transposed)
            other[^1]++;
        small.Graph.Initializer.Add(small.Model.CreateTensor<sbyte>("a", DataType.Int8, [Words, Size], codes));
        small.Graph.Initializer.Add(small.Model.CreateTensor<sbyte>("b", DataType.Int8, [Size, Words], other));
        return small.Floats("s", [], 0.01f).Node("DequantizeLinear", "a,s", "da").Node("DequantizeLinear", "b,s", "db")
            .Node("MatMul", "x,da", "y").Node("MatMul", "y,db", "z").Output("y", "z");
    }

    private static T[] Transposed<T>(T[] values) => [.. Enumerable.Range(0, values.Length).Select(i => values[(i % Words * Size) + (i / Words)])];

    private static float[] Outputs(OnnxModel model)
    {
        using var session = new Session(model);
        var outputs = session.Run(RandomInputs.For(model));
        return [.. outputs["y"].ToFloats(), .. outputs["z"].ToFloats()];
    }
}
