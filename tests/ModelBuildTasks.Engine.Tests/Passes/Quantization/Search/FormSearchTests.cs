using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Passes;

namespace ModelBuildTasks.Engine.Tests.Passes.Quantization.Search;

[TestClass]
public sealed class FormSearchTests
{
    [TestMethod]
    public void A_convolution_before_a_logarithm_is_left_out_of_the_8_bit_part_and_the_others_are_not()
    {
        // Four convolutions; the channels of the last differ in size by a thousand, which the logarithm brings to the outputs alike.
        // One scale for all of them leaves nothing of the small ones.
        var last = SmallModel.Values(4, 16 * 16 * 9);
        for (var i = 0; i < last.Length; i++)
            last[i] = (last[i] + 1) * MathF.Pow(10, -(i / 144) % 4) / 100;
        var small = new SmallModel().Input("x", 1, 8, 12, 12)
            .Random("w1", 1, 16, 8, 3, 3).Random("w2", 2, 16, 16, 3, 3).Random("w3", 3, 16, 16, 3, 3).Floats("w4", [16, 16, 3, 3], last).Floats("little", [], 1e-3f)
            .Node("Conv", "x,w1", "a").Node("Relu", "a", "ra").Node("Conv", "ra,w2", "b").Node("Relu", "b", "rb").Node("Conv", "rb,w3", "c").Node("Relu", "c", "rc")
            .Node("Conv", "rc,w4", "d").Node("Add", "d,little", "e").Node("Log", "e", "y").Output("y");
        var data = ListDataset.Random(small.Model, 6);
        var fix = Quantize.Run(small.Model, QuantizeTests.Plan(ActivationMode.Uint8), QuantizeTests.Context(data));
        Assert.IsTrue(fix.Decisions.All(d => d.What == "int8 static"), fix.Summary);
        Assert.IsLessThan(25, QuantizeTests.Sqnr(small.Model, fix.Model, data));

        var result = Quantize.Run(small.Model, QuantizeTests.Plan(), QuantizeTests.Context(data));
        Assert.IsGreaterThan(25, QuantizeTests.Sqnr(small.Model, result.Model, data), result.Summary);
        CollectionAssert.AreEqual(new[] { "int8 static", "int8 static", "int8 static" }, result.Decisions.Take(3).Select(d => d.What).ToArray());
        StringAssert.EndsWith(result.Decisions[3].What, "weights");
        StringAssert.Contains(result.Decisions[3].Reason, "loses too much");
        var kernels = QuantizeTests.Optimized(result.Model);
        Assert.AreEqual(3, kernels.GetValueOrDefault("QLinearConv"));
    }
}
