using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Passes.Pruning;
using ModelBuildTasks.Engine.Passes.Pruning.Sequential;
using ModelBuildTasks.Engine.Passes.Quantization;
using ModelBuildTasks.Engine.Statistics;
using ModelBuildTasks.Engine.Tests.Passes.Quantization;

namespace ModelBuildTasks.Engine.Tests.Passes.Pruning;

[TestClass]
public sealed class SequentialTests
{
    [TestMethod]
    public void Both_models_run_as_one_and_what_pruning_does_not_reach_is_there_once()
    {
        var (model, data) = Chain();
        var pruned = Prune.Run(model, new PrunePlan(new("test"), 0.5), QuantizeTests.Context() with { Rules = [new(new("test"), [], "MatMul_a|MatMul_y", true) { Prune = false }] }).Model;
        var both = new PairedModel(model, pruned);

        Assert.AreEqual(model.Graph.Node.Count + 3, both.Model.Graph.Node.Count);
        Assert.IsFalse(both.Reaches("a"));
        Assert.IsTrue(both.Reaches("c"));
        both.Model.Graph.Output.Add(new ValueInfoProto { Name = both.Model.Graph.Node[^1].Output[0] });
        using var one = new Engine.Execution.Session(both.Model.ToBytes());
        using var other = new Engine.Execution.Session(pruned.ToBytes());
        var batch = data.Batches().First();
        var results = one.Run(batch.Inputs);
        CollectionAssert.AreEqual(other.Run(batch.Inputs)["y"].ToFloats(), results.First(r => r.Key != "y").Value.ToFloats());
        CollectionAssert.AreNotEqual(results["y"].ToFloats(), results.First(r => r.Key != "y").Value.ToFloats());
    }

    [TestMethod]
    public void The_wanted_weight_is_the_least_squares_fit_of_the_old_outputs_on_the_new_inputs()
    {
        var (model, data) = Chain();
        // The second product reads a weight that was halved: twice its own weight undoes that.
        var changed = model.Clone();
        var weight = changed.Graph.Initializer[0];
        weight.PayloadRef = changed.CreateTensor<float>("", TensorProto.Types.DataType.Float, weight.Dims, [.. model.ReadFloats(weight).Select(v => v / 2)]).PayloadRef;
        var both = new PairedModel(model, changed);
        var use = NodeWeight.Of(model.Graph.Node[1], new GraphIndex(model, model.Graph)).Single();
        var matrix = both.Matrix(use)!;
        StatisticsCollector.Collect(both.Model, [], data, grams: [matrix]);
        var rows = Engine.Passes.Quantization.Rounding.WeightRows.Of(use, GramGeometry.Of(use.Node, 1, use.Tensor.Dims)!);
        var values = model.ReadFloats(use.Tensor);

        var wanted = new PairedMoments(matrix, rows.Columns, centered: false).Wanted(values, rows, 1);

        // But for damping, and for correlations that are not all believed.
        Assert.AreEqual(2, wanted.Zip(values, (a, b) => (double)a * b).Sum() / values.Sum(v => (double)v * v), 0.25);
    }

    [TestMethod]
    public void Weights_come_from_the_inputs_on_and_those_that_read_the_same_together()
    {
        var small = new SmallModel().Input("x", 2, 8).Random("w1", 1, 8, 8).Random("w2", 2, 8, 8).Random("w3", 3, 8, 8).Random("w4", 4, 8, 8)
            .Node("MatMul", "x,w1", "a").Node("MatMul", "a,w2", "b").Node("MatMul", "a,w3", "c").Node("Add", "b,c", "d").Node("MatMul", "d,w4", "y").Output("y");
        var weights = PrunableWeights.Find(small.Model, new RuleSet(small.Model, [])).SelectMany(n => n.Weights).Reverse().ToList();

        var stages = Stages.Of(small.Model, weights);

        CollectionAssert.AreEqual(new[] { "w1", "w3 w2", "w4" }, stages.Select(s => string.Join(' ', s.Select(w => w.Key.Name))).ToArray());
    }

    [TestMethod]
    public void A_deep_model_loses_less_where_each_weight_makes_up_for_those_in_front_of_it()
    {
        var small = new SmallModel().Input("x", 32, 24);
        var name = "x";
        for (var i = 0; i < 6; i++)
        {
            small.Random($"w{i}", i + 1, 24, 24).Random($"b{i}", i + 50, 24).Node("Gemm", $"{name},w{i},b{i}", $"g{i}").Node("Tanh", $"g{i}", $"t{i}");
            name = $"t{i}";
        }

        var model = small.Output(name).Model;
        var seen = ListDataset.Random(model, 30);
        ListDataset other = new([.. ListDataset.Random(model, 40).Batches().Skip(30)]);
        var plan = new PrunePlan(new("test"), 0.5) { Method = PruneMethod.SparseGpt, Allocation = PruneAllocation.Uniform };

        // With a body in it, no pair of models is made.
        var apart = model.Clone();
        var body = new SmallModel().Output("z").Node("Identity", "x", "z").Graph;
        apart.Graph.Initializer.Add(apart.CreateTensor<bool>("yes", TensorProto.Types.DataType.Bool, [], [true]));
        var branch = GraphExtensions.Node("If", ["yes"], ["unread"]);
        foreach (var side in new[] { "then_branch", "else_branch" })
            branch.Attribute.Add(new AttributeProto { Name = side, G = body.Clone(), Type = AttributeProto.Types.AttributeType.Graph });
        apart.Graph.Node.Add(branch);

        var together = QuantizeTests.Sqnr(model, Prune.Run(model, plan, QuantizeTests.Context(seen)).Model, other);
        var alone = QuantizeTests.Sqnr(model, Prune.Run(apart, plan, QuantizeTests.Context(seen)).Model, other);

        Assert.IsGreaterThan(alone + 0.5, together);
    }

    private static (OnnxModel Model, ListDataset Data) Chain()
    {
        var small = new SmallModel().Input("x", 16, 12).Random("w1", 1, 12, 12).Random("w2", 2, 12, 12).Random("w3", 3, 12, 12)
            .Node("MatMul", "x,w1", "a").Node("MatMul", "a,w2", "b").Node("Relu", "b", "c").Node("MatMul", "c,w3", "y").Output("y");
        return (small.Model, ListDataset.Random(small.Model, 16));
    }
}
