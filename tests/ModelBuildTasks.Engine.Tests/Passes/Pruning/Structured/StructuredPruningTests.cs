using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Passes.Pruning.Structured;
using ModelBuildTasks.Engine.Passes.Pruning.Structured.Selection;
using ModelBuildTasks.Engine.Passes.Quantization.Search;
using ModelBuildTasks.Engine.Tests.Passes.Quantization;

namespace ModelBuildTasks.Engine.Tests.Passes.Pruning.Structured;

[TestClass]
public sealed class StructuredPruningTests
{
    [TestMethod]
    [DataRow(PruneMeasure.Macs, 0.3)]
    [DataRow(PruneMeasure.Parameters, 0.3)]
    [DataRow(PruneMeasure.Latency, 0.1)]
    [DataRow(PruneMeasure.Bytes, 0.3)]
    public void What_is_asked_for_goes_and_little_more(PruneMeasure measure, double share)
    {
        var small = Net();
        var context = Context(small.Model);
        var before = Cost(small.Model, context);
        var amount = measure == PruneMeasure.Bytes ? (1 - share) * before.Bytes : share;
        var result = StructuredPruning.Run(small.Model, Plan(amount) with { Measure = measure, Multiple = 1 }, context);
        var after = Cost(result.Model, context);
        var left = measure switch
        {
            PruneMeasure.Macs => after.Macs / (double)before.Macs,
            PruneMeasure.Parameters => after.Parameters / (double)before.Parameters,
            PruneMeasure.Latency => after.Nanoseconds / before.Nanoseconds,
            _ => after.Bytes / (double)before.Bytes,
        };
        Assert.IsLessThanOrEqualTo(1 - share, left);
        Assert.IsGreaterThan(0.85 - share, left);
        Assert.IsTrue(result.Decisions.Any(d => d.What.StartsWith("pruned", StringComparison.Ordinal)));
        Assert.Contains("multiply-accumulates", result.Summary);
    }

    [TestMethod]
    public void A_refit_loses_less_than_bias_and_bias_less_than_nothing_and_chosen_channels_less_than_small_ones()
    {
        var small = Net();
        var context = Context(small.Model);
        var probe = OutputProbe.Open(small.Model, ListDataset.Random(small.Model, 40), int.MaxValue);
        double Loss(PruneMethod method, PruneRepair repair, PruneAllocation allocation = PruneAllocation.Uniform) => probe.Noise(
            StructuredPruning.Run(small.Model, Plan(0.4) with { Measure = PruneMeasure.Parameters, Method = method, Repair = repair, Allocation = allocation, Multiple = 1 }, context).Model);
        var (none, bias, refit) = (Loss(PruneMethod.Obs, PruneRepair.None), Loss(PruneMethod.Obs, PruneRepair.Bias), Loss(PruneMethod.Obs, PruneRepair.Refit));
        Assert.IsLessThan(none, bias);
        Assert.IsLessThan(bias, refit);
        Assert.IsLessThan(0.5 * Loss(PruneMethod.Magnitude, PruneRepair.None), refit);
        Assert.IsLessThan(1.05 * refit, Loss(PruneMethod.Obs, PruneRepair.Refit, PruneAllocation.Loss));
    }

    [TestMethod]
    public void Flap_prunes_what_varies_least()
    {
        var small = Net();
        var context = Context(small.Model);
        var probe = OutputProbe.Open(small.Model, context.Calibration!, int.MaxValue);
        double Loss(PruneMethod method, PruneRepair repair) => probe.Noise(StructuredPruning.Run(
            small.Model, Plan(0.3) with { Measure = PruneMeasure.Parameters, Method = method, Repair = repair, Allocation = PruneAllocation.Uniform, Multiple = 1 }, context).Model);
        Assert.IsLessThan(Loss(PruneMethod.Magnitude, PruneRepair.None), Loss(PruneMethod.Flap, PruneRepair.Bias));
    }

    [TestMethod]
    public void Bytes_do_not_depend_on_threads_and_the_model_stays_as_it_is()
    {
        var small = Net();
        var before = small.Model.ToBytes();
        var (one, two) = (Run(1), Run(3));
        CollectionAssert.AreEqual(one, two);
        CollectionAssert.AreEqual(before, small.Model.ToBytes());

        byte[] Run(int threads) => StructuredPruning.Run(small.Model, Plan(0.3) with { Measure = PruneMeasure.Macs }, Context(small.Model) with { Threads = threads }).Model.ToBytes();
    }

    [TestMethod]
    public void Without_data_magnitudes_decide_and_nothing_is_fitted()
    {
        var small = Net();
        var result = StructuredPruning.Run(small.Model, Plan(0.3) with { Measure = PruneMeasure.Parameters }, QuantizeTests.Context());
        Assert.IsTrue(result.Decisions.Any(d => d.Reason.Contains("nothing made up for them", StringComparison.Ordinal)));
        Assert.IsLessThan(Cost(small.Model, Context(small.Model)).Parameters, Cost(result.Model, Context(small.Model)).Parameters);
    }

    [TestMethod]
    public void More_than_can_go_is_an_error_that_says_how_much_can()
    {
        var small = Net();
        var error = Assert.Throws<ModelBuildException>(() => StructuredPruning.Run(small.Model, Plan(0.95) with { Measure = PruneMeasure.Parameters, Limit = 0.3 }, Context(small.Model)));
        Assert.AreEqual(DiagnosticCodes.PruneTarget, error.First.Code);
        Assert.Contains("95.0 % of the parameters is asked for", error.Message);
        Assert.Contains("at most", error.Message);
    }

    [TestMethod]
    [DataRow(PruneStructure.Channels)]
    [DataRow(PruneStructure.Layers)]
    public void Time_without_a_cost_table_is_an_error_before_anything_goes(PruneStructure structure)
    {
        var small = Residual(scale: 1);
        var context = Context(small.Model) with { Runtime = RuntimePolicies.Get("tensorrt") };
        var error = Assert.Throws<ModelBuildException>(() => StructuredPruning.Run(small.Model, Plan(0.3) with { Structure = structure, Measure = PruneMeasure.Latency }, context));
        Assert.AreEqual(DiagnosticCodes.PruneTarget, error.First.Code);
        Assert.Contains("no cost table", error.Message);
    }

    [TestMethod]
    public void A_model_without_groups_is_an_error_that_names_what_holds_back()
    {
        var small = new SmallModel().Input("x", 1, 8).Random("w", 1, 8, 6).Node("MatMul", "x,w", "y").Output("y");
        var error = Assert.Throws<ModelBuildException>(() => StructuredPruning.Run(small.Model, Plan(0.5), QuantizeTests.Context()));
        Assert.AreEqual(DiagnosticCodes.NothingToPrune, error.First.Code);
        Assert.Contains("held back by", error.Message);
    }

    [TestMethod]
    public void A_rule_keeps_what_depends_on_a_node()
    {
        var small = Net();
        var context = Context(small.Model) with { Rules = [new RulePlan(new SourceLocation("test"), [], "Conv_cd", true) { Prune = false }] };
        var result = StructuredPruning.Run(small.Model, Plan(0.2) with { Measure = PruneMeasure.Amount }, context);
        var weights = result.Model.Graph.Initializer.ToDictionary(i => i.Name, i => i.Dims.ToArray());
        Assert.IsLessThan(24L, weights["w2"][0]);
        Assert.AreEqual(16L, weights["w2"][1], "what goes through it stays");
        Assert.IsTrue(result.Decisions.Any(d => d.What == "left" && d.Reason.Contains("a rule keeps", StringComparison.Ordinal)));
    }

    [TestMethod]
    public void The_residual_block_that_adds_least_goes_first()
    {
        var small = Residual(scale: 0.01f);
        var context = Context(small.Model);
        var result = StructuredPruning.Run(small.Model, Plan(0.5) with { Structure = PruneStructure.Layers }, context);
        Assert.AreEqual("removed", result.Decisions[0].What);
        Assert.IsFalse(result.Model.Graph.Initializer.Any(i => i.Name == "b1"), "the block that adds hundredths is gone");
        Assert.IsTrue(result.Model.Graph.Initializer.Any(i => i.Name == "b2"));
        var probe = OutputProbe.Open(small.Model, context.Calibration!, int.MaxValue);
        Assert.IsGreaterThan(25, probe.Sqnr(probe.Noise(result.Model)));
    }

    private static PrunePlan Plan(double amount) => new(new SourceLocation("test"), amount) { Structure = PruneStructure.Channels, Limit = 0.75 };

    private static PassContext Context(OnnxModel model) => new(RuntimePolicies.Get("ort-cpu"), []) { Calibration = ListDataset.Random(model, 24), Threads = 2 };

    private static ModelCost Cost(OnnxModel model, PassContext context) => ModelCost.Of(model, context.Runtime, ModelCost.Shapes(model, context));

    /// <summary>Convolutions, one of them depthwise, and a head; channels repeat each other in part, as those of trained networks do.</summary>
    private static SmallModel Net()
    {
        var small = new SmallModel().Input("x", 1, 3, 12, 12).Random("w1", 1, 16, 3, 3, 3).Random("b1", 2, 16).Random("wd", 3, 16, 1, 3, 3).Random("bd", 4, 16)
            .Random("w2", 5, 24, 16, 1, 1).Random("b2", 6, 24).Random("w3", 7, 10, 24).Random("b3", 8, 10)
            .Node("Conv", "x,w1,b1", "c1", ("pads", new long[] { 1, 1, 1, 1 })).Node("Relu", "c1", "r1")
            .Node("Conv", "r1,wd,bd", "cd", ("group", 16L), ("pads", new long[] { 1, 1, 1, 1 })).Node("Relu", "cd", "rd")
            .Node("Conv", "rd,w2,b2", "c2").Node("Relu", "c2", "r2")
            .Node("GlobalAveragePool", "r2", "p").Node("Flatten", "p", "f").Node("Gemm", "f,w3,b3", "y", ("transB", 1L)).Output("y");
        return small;
    }

    private static SmallModel Residual(float scale)
    {
        var small = new SmallModel().Input("x", 1, 16).Random("in", 1, 16, 12).Random("a1", 2, 12, 20).Floats("b1", [20, 12], [.. SmallModel.Values(3, 240).Select(v => v * scale)])
            .Random("a2", 4, 12, 20).Random("b2", 5, 20, 12).Random("out", 6, 12, 5)
            .Node("MatMul", "x,in", "h")
            .Node("MatMul", "h,a1", "u1").Node("Relu", "u1", "v1").Node("MatMul", "v1,b1", "z1").Node("Add", "h,z1", "h1")
            .Node("MatMul", "h1,a2", "u2").Node("Relu", "u2", "v2").Node("MatMul", "v2,b2", "z2").Node("Add", "h1,z2", "h2")
            .Node("MatMul", "h2,out", "y").Output("y");
        return small;
    }
}
