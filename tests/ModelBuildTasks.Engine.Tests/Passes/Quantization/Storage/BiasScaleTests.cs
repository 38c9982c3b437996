using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Passes.Quantization.Storage;

/// <summary>A bias's scales are those of the weight times the input's: stored only where the runtime does not compute constants, or where they are few.</summary>
[TestClass]
public sealed class BiasScaleTests
{
    [TestMethod]
    [DataRow(32, true, 1)]
    [DataRow(32, false, 0)]
    [DataRow(8, true, 0)]
    public void Scales_are_a_product_where_that_is_shorter_and_the_runtime_folds_it(int channels, bool folding, int products)
    {
        var (small, data) = Case(channels);
        var result = Run(small, data, folding);
        Assert.AreEqual("int8 static", result.Decisions.Single().What);
        Assert.AreEqual(products, result.Model.Graph.Node.Count(n => n.OpType == "Mul"));
        // Scales of the weight; those of the bias beside them or not.
        Assert.AreEqual(2 - products, result.Model.Graph.Initializer.Count(i => (DataType)i.DataType == DataType.Float && i.Dims.SequenceEqual([channels])));
        var kernels = QuantizeTests.Optimized(result.Model);
        Assert.AreEqual(1, kernels.GetValueOrDefault("QLinearConv"));
        foreach (var op in new[] { "Conv", "Mul" })
            Assert.AreEqual(0, kernels.GetValueOrDefault(op), op);
        Assert.IsGreaterThan(25, QuantizeTests.Sqnr(small.Model, result.Model, data));
    }

    [TestMethod]
    public void A_product_gives_the_same_numbers_as_stored_scales_in_fewer_bytes()
    {
        var (small, data) = Case(64);
        var (folded, stored) = (Run(small, data, true).Model, Run(small, data, false).Model);
        Assert.AreEqual(double.PositiveInfinity, QuantizeTests.Sqnr(stored, folded, data));
        Assert.IsLessThan(stored.ToBytes().Length - 150, folded.ToBytes().Length);
    }

    private static PassResult Run(SmallModel small, ListDataset data, bool folding)
    {
        var policy = RuntimePolicies.Get("ort-cpu");
        Assert.IsTrue(policy.Formats.FoldsConstants);
        var context = new PassContext(policy with { Formats = policy.Formats with { FoldsConstants = folding } }, []) { Calibration = data };
        return Quantize.Run(small.Model, QuantizeTests.Plan(ActivationMode.Uint8), context);
    }

    private static (SmallModel, ListDataset) Case(int channels)
    {
        var small = new SmallModel().Input("x", 1, 8, 6, 6).Random("w", 1, channels, 8, 3, 3).Random("b", 2, channels).Node("Conv", "x,w,b", "y").Output("y");
        return (small, ListDataset.Random(small.Model, 3));
    }
}
