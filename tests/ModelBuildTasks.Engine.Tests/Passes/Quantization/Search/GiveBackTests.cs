using ModelBuildTasks.Engine.Passes;

namespace ModelBuildTasks.Engine.Tests.Passes.Quantization.Search;

[TestClass]
public sealed class GiveBackTests
{
    [TestMethod]
    public void Precision_is_given_back_until_the_outputs_are_as_good_as_the_plan_wants()
    {
        using var model = QuantizeTests.Clean("digits_mobile/digits_mobile.onnx");
        var data = ListDataset.Random(model, 8);
        PassResult Run(double least) => Quantize.Run(model, QuantizeTests.Plan() with { MinimumSqnr = least }, QuantizeTests.Context(data));
        var (none, much) = (Run(0), Run(45));
        Assert.IsGreaterThanOrEqualTo(45, SearchCase.Sqnr(model, much.Model, data));
        Assert.IsLessThan(45, SearchCase.Sqnr(model, none.Model, data));
        Assert.IsTrue(much.Decisions.Any(d => d.What == "float16 weights"), much.Summary);
        // Not more than it takes.
        Assert.IsTrue(much.Decisions.Any(d => d.What.StartsWith("int8", StringComparison.Ordinal)), much.Summary);
        Assert.IsGreaterThan(none.Model.ToBytes().Length, much.Model.ToBytes().Length);
    }
}
