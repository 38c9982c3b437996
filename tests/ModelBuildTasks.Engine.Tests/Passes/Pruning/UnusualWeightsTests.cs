using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Passes.Pruning.Structured;
using ModelBuildTasks.Engine.Passes.Pruning.Structured.Selection;
using ModelBuildTasks.Engine.Tests.Passes.Quantization;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Passes.Pruning;

/// <summary>Weights that several nodes read, that are tiny, or that have zeros already.</summary>
[TestClass]
public sealed class UnusualWeightsTests
{
    private static readonly SourceLocation At = new("test");

    [TestMethod]
    [DataRow(true)]
    [DataRow(false)]
    public void Towers_that_share_their_weights_go_on_sharing_them_and_reach_the_target(bool calibrated)
    {
        var small = new SmallModel().Input("x", 4, 16).Input("z", 4, 16)
            .Random("w0", 1, 16, 32).Random("b0", 2, 32).Random("w1", 3, 32, 32).Random("b1", 4, 32).Random("w2", 5, 32, 8).Random("b2", 6, 8);
        foreach (var t in new[] { "x", "z" })
        {
            small.Node("Gemm", $"{t},w0,b0", $"{t}0").Node("Relu", $"{t}0", $"{t}r").Node("Gemm", $"{t}r,w1,b1", $"{t}1").Node("Relu", $"{t}1", $"{t}s").Node("Gemm", $"{t}s,w2,b2", $"{t}y");
        }

        small.Output("xy", "zy");
        var result = Prune.Run(small.Model, new PrunePlan(At, 0.3) { Structure = PruneStructure.Channels, Measure = PruneMeasure.Parameters, Multiple = 1 }, QuantizeTests.Context(calibrated ? ListDataset.Random(small.Model, 20) : null)).Model;

        Assert.IsLessThanOrEqualTo(0.7 * Parameters(small.Model), Parameters(result));
        Assert.HasCount(6, result.Graph.Initializer.Where(t => t.Dims.Count > 0 && (DataType)t.DataType == DataType.Float));
        using var session = new Session(result, new SessionSettings());
        Assert.HasCount(2, session.Outputs);
    }

    [TestMethod]
    public void What_shared_weights_read_no_more_is_zero_before_it_is_cut_out()
    {
        var small = new SmallModel().Input("x", 4, 12).Input("z", 4, 12).Random("w0", 1, 12, 16).Random("b0", 2, 16).Random("w1", 3, 16, 8).Random("b1", 4, 8);
        foreach (var t in new[] { "x", "z" })
            small.Node("Gemm", $"{t},w0,b0", $"{t}0").Node("Relu", $"{t}0", $"{t}r").Node("Gemm", $"{t}r,w1,b1", $"{t}y");
        var model = small.Output("xy", "zy").Model;
        var data = ListDataset.Random(model, 10);
        var (context, types) = (QuantizeTests.Context(data), ValueTypes.Infer(model));
        var analysis = ChannelAnalysis.Of(model, types, ModelCost.Shapes(model, context));
        var group = analysis.Groups.Single(g => g.Units == 16);
        var pruned = new PrunedModel(model, analysis, new Readers(model, analysis.Groups, context), types, PruneRepair.Refit);
        var removed = new Dictionary<int, IReadOnlyList<int>> { [group.Id] = [1, 4, 9] };

        // Layers behind are fitted to what the uncut model gives.
        using var whole = new Session(pruned.Repaired(removed), new SessionSettings());
        using var cut = new Session(pruned.Cut(removed), new SessionSettings());
        using var before = new Session(model, new SessionSettings());
        foreach (var inputs in data.Batches().Select(b => b.Inputs))
        {
            Assert.IsGreaterThan(1e-2, Apart(before.Run(inputs), cut.Run(inputs)));
            Assert.IsLessThan(1e-5, Apart(whole.Run(inputs), cut.Run(inputs)));
        }

        static double Apart(IReadOnlyDictionary<string, Engine.Data.Tensor> a, IReadOnlyDictionary<string, Engine.Data.Tensor> b) =>
            a.Max(t => t.Value.ToFloats().Zip(b[t.Key].ToFloats(), (p, q) => Math.Abs(p - q)).Max());
    }

    [TestMethod]
    public void A_rule_for_a_Gather_holds_its_table_and_without_one_the_table_is_fitted_to_nobody()
    {
        var small = new SmallModel().Input("ids", DataType.Int64, 4).Random("table", 1, 24, 16).Random("w", 2, 16, 16).Floats("none", [24], new float[24])
            .Node("Gather", "table,ids", "e").Node("MatMul", "e,w", "h").Node("Tanh", "h", "t").Node("Gemm", "t,table,none", "y", ("transB", 1)).Output("y");
        var data = new ListDataset([.. Enumerable.Range(0, 30).Select(i => new Engine.Data.Batch(new Dictionary<string, Engine.Data.Tensor> { ["ids"] = Engine.Data.Tensor.Of<long>(DataType.Int64, [4], [i % 24, (i + 5) % 24, (i * 7) % 24, (i * 11) % 24]) }, null, 1))]);
        var plan = new PrunePlan(At, 0.5) { Method = PruneMethod.SparseGpt, Allocation = PruneAllocation.Uniform };
        var table = small.Model.ReadFloats(small.Graph.Initializer[0]);

        var held = Prune.Run(small.Model, plan, QuantizeTests.Context(data) with { Rules = [new RulePlan(At, ["Gather"], null, true) { Prune = false }] }).Model;
        CollectionAssert.AreEqual(table, Values(held, "table"));

        var pruned = Values(Prune.Run(small.Model, plan, QuantizeTests.Context(data)).Model, "table");
        Assert.AreEqual(table.Length / 2, pruned.Count(v => v == 0));
        Assert.IsTrue(pruned.Zip(table).All(p => p.First == 0 || p.First == p.Second));
    }

    [TestMethod]
    public void A_small_layer_is_not_free()
    {
        var small = new SmallModel().Input("x", 4, 16).Random("w1", 1, 16, 32).Random("w2", 2, 32, 8).Random("w3", 3, 8, 1)
            .Node("MatMul", "x,w1", "a").Node("Tanh", "a", "b").Node("MatMul", "b,w2", "c").Node("Tanh", "c", "d").Node("MatMul", "d,w3", "y").Output("y");
        var result = Prune.Run(small.Model, new PrunePlan(At, 0.6) { Allocation = PruneAllocation.Loss, Limit = 0.95 }, QuantizeTests.Context(ListDataset.Random(small.Model, 20))).Model;
        Assert.IsLessThan(6, Values(result, "w3").Count(v => v == 0));
        Assert.AreEqual((int)(0.6 * ((16 * 32) + (32 * 8) + 8)), new[] { "w1", "w2", "w3" }.Sum(w => Values(result, w).Count(v => v == 0)), 3);
    }

    [TestMethod]
    public void Classes_that_are_masked_out_are_no_loss()
    {
        var mask = Enumerable.Range(0, 16).Select(i => i % 4 == 3 ? float.NegativeInfinity : 0f).ToArray();
        var small = new SmallModel().Input("x", 32, 16).Random("w1", 1, 16, 24).Random("w2", 2, 24, 24).Random("w3", 3, 24, 16).Floats("mask", [16], mask)
            .Node("MatMul", "x,w1", "a").Node("Tanh", "a", "b").Node("MatMul", "b,w2", "c").Node("Tanh", "c", "d").Node("MatMul", "d,w3", "e").Node("Add", "e,mask", "f").Node("LogSoftmax", "f", "y").Output("y");
        var result = Prune.Run(small.Model, new PrunePlan(At, 0.5) { Allocation = PruneAllocation.Loss, Limit = 0.95 }, QuantizeTests.Context(ListDataset.Random(small.Model, 40))).Model;
        foreach (var name in new[] { "w1", "w2", "w3" })
            Assert.IsLessThan(0.8, Values(result, name).Average(v => v == 0 ? 1.0 : 0));
        Assert.AreEqual(((16 * 24) + (24 * 24) + (24 * 16)) / 2, new[] { "w1", "w2", "w3" }.Sum(w => Values(result, w).Count(v => v == 0)), 3);
    }

    [TestMethod]
    [DataRow(PruneMethod.Obs)]
    [DataRow(PruneMethod.SparseGpt)]
    [DataRow(PruneMethod.Auto)]
    public void Blocks_keep_the_zeros_that_were_there(PruneMethod method)
    {
        var small = new SmallModel().Input("x", 8, 16).Random("w", 1, 16, 24).Node("MatMul", "x,w", "a").Node("Tanh", "a", "y").Output("y");
        var context = QuantizeTests.Context(ListDataset.Random(small.Model, 20));
        var first = Prune.Run(small.Model, new PrunePlan(At, 0.5), context).Model;
        var second = Values(Prune.Run(first, new PrunePlan(At, 0.5) { Structure = PruneStructure.Blocks, Shape = (1, 4), Method = method, Allocation = PruneAllocation.Uniform }, context).Model, "w");
        Assert.IsTrue(Values(first, "w").Zip(second).All(p => p.First != 0 || p.Second == 0));
        Assert.IsGreaterThan(Values(first, "w").Count(v => v == 0) + 20, second.Count(v => v == 0));
    }

    [TestMethod]
    public void What_is_left_of_blocks_with_zeros_makes_up_for_the_others()
    {
        var small = new SmallModel().Input("x", 8, 16).Random("w", 1, 16, 24).Node("MatMul", "x,w", "y").Output("y");
        var data = ListDataset.Random(small.Model, 20);
        var first = Prune.Run(small.Model, new PrunePlan(At, 0.5), QuantizeTests.Context(data)).Model;
        double loss(PruneMethod method) => Distance(first, Prune.Run(first, new PrunePlan(At, 0.5) { Structure = PruneStructure.Blocks, Shape = (1, 4), Method = method, Allocation = PruneAllocation.Uniform }, QuantizeTests.Context(data)).Model, data);
        Assert.IsLessThanOrEqualTo(loss(PruneMethod.SparseGpt), loss(PruneMethod.Obs));
    }

    [TestMethod]
    public void An_output_that_becomes_no_number_is_the_last_to_be_pruned()
    {
        // Each value of w2 is all that an output is the logarithm of.
        float[] positive = [.. SmallModel.Values(2, 24).Select(v => Math.Abs(v) + 0.5f)];
        var small = new SmallModel().Input("x", 32, 16).Random("w1", 1, 16, 1).Floats("w2", [1, 24], positive)
            .Node("MatMul", "x,w1", "a").Node("Sigmoid", "a", "b").Node("MatMul", "b,w2", "c").Node("Log", "c", "y").Output("y");
        var result = Prune.Run(small.Model, new PrunePlan(At, 0.3) { Allocation = PruneAllocation.Loss, Limit = 0.95 }, QuantizeTests.Context(ListDataset.Random(small.Model, 20))).Model;
        Assert.AreEqual((11, 0), (Values(result, "w1").Count(v => v == 0), Values(result, "w2").Count(v => v == 0)));
    }

    [TestMethod]
    public void A_weight_that_is_read_in_two_ways_is_pruned_by_magnitude()
    {
        var tied = new SmallModel().Input("x", 8, 16).Random("k", 1, 16, 16).Random("b", 2, 16).Random("c", 3, 16)
            .Node("Gemm", "x,k,b", "h").Node("Tanh", "h", "r").Node("Gemm", "r,k,c", "y", ("transB", 1)).Output("y");
        var sides = new SmallModel().Input("x", 16, 16).Random("k", 1, 16, 16)
            .Node("MatMul", "k,x", "h").Node("Tanh", "h", "r").Node("MatMul", "r,k", "y").Output("y");
        foreach (var small in new[] { tied, sides })
        {
            var before = Values(small.Model, "k");
            var after = Values(Prune.Run(small.Model, new PrunePlan(At, 0.5) { Method = PruneMethod.SparseGpt }, QuantizeTests.Context(ListDataset.Random(small.Model, 20))).Model, "k");
            Assert.AreEqual(128, after.Count(v => v == 0));
            Assert.IsTrue(after.Zip(before).All(p => p.First == 0 || p.First == p.Second));
        }
    }

    internal static double Distance(OnnxModel one, OnnxModel other, ListDataset data)
    {
        using var first = new Session(one, new SessionSettings());
        using var second = new Session(other, new SessionSettings());
        return data.Batches().Sum(b => first.Run(b.Inputs)["y"].ToFloats().Zip(second.Run(b.Inputs)["y"].ToFloats(), (y, z) => ((double)y - z) * ((double)y - z)).Sum());
    }

    private static long Parameters(OnnxModel model) => model.Graph.Initializer.Where(t => (DataType)t.DataType == DataType.Float).Sum(t => ElementTypes.Count(t.Dims));

    internal static float[] Values(OnnxModel model, string name) => model.ReadFloats(model.Graph.Initializer.Single(t => t.Name == name));
}
