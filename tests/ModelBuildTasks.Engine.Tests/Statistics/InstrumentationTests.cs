using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Statistics;
using ModelBuildTasks.Engine.Tests.Passes.Quantization;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Statistics;

[TestClass]
public sealed class InstrumentationTests
{
    [TestMethod]
    [DataRow(1)]
    [DataRow(4)]
    public void A_value_of_a_branch_is_seen_bit_by_bit_as_in_the_network_without_an_If_over_the_runs_that_take_the_branch(int threads)
    {
        var (small, data) = (BranchModel.Branching(), BranchModel.Data(0, i => Way(i)));
        foreach (var value in new[] { "x", "r" })
        {
            GramMatrix[] grams = [.. new[] { BranchModel.Then, BranchModel.InnerThen, BranchModel.InnerElse }.Select(g => Gram(value, g))];
            StatisticsCollector.Collect(small.Model, ["x", "y"], data, threads, grams: grams);
            foreach (var (gram, taken) in grams.Zip(new[] { (true, true), (false, true), (false, false) }))
            {
                var expected = Gram(value, 0);
                var (then, inner) = taken;
                var flat = BranchModel.Data(0, i => Way(i) is var way && way.C == then && (then || way.D == inner) ? way : null, flags: false);
                StatisticsCollector.Collect(BranchModel.Flat(then).Model, [], flat, grams: [expected]);
                Assert.IsTrue(gram.IsValid);
                Assert.AreEqual(expected.Rows, gram.Rows);
                CollectionAssert.AreEqual(expected.Moments(0, false), gram.Moments(0, false));
                CollectionAssert.AreEqual(expected.Means(0), gram.Means(0));
            }
        }

        static (bool C, bool D) Way(int i) => (i % 2 == 0, i % 3 == 0);
    }

    [TestMethod]
    public void What_the_model_gives_stays_and_every_value_is_shown_once()
    {
        var small = BranchModel.Branching();
        var instrumentation = new Instrumentation(small.Model);
        Assert.AreEqual("x", instrumentation.Show(0, "x"));
        Assert.AreEqual("y", instrumentation.Show(0, "y"));
        var shown = instrumentation.Show(BranchModel.Then, "r");
        Assert.AreEqual(shown, instrumentation.Show(BranchModel.Then, "r"));
        var other = instrumentation.Show(BranchModel.InnerElse, "r");
        CollectionAssert.AreEqual(new[] { "y", "x", shown, other }, instrumentation.Model.Graph.Output.Select(o => o.Name).ToArray());
        Assert.HasCount(1, small.Graph.Output);
        Assert.IsTrue(small.Graph.WithBodies().All(g => g.Output.Count == 1));
    }

    [TestMethod]
    public void A_branch_that_no_run_takes_shows_nothing()
    {
        GramMatrix[] grams = [.. new[] { BranchModel.Then, BranchModel.InnerThen, BranchModel.InnerElse }.SelectMany(g => new[] { Gram("x", g), Gram("r", g) })];
        StatisticsCollector.Collect(BranchModel.Branching().Model, [], BranchModel.Data(0, _ => (false, true)), grams: grams);
        CollectionAssert.AreEqual(new[] { false, false, true, true, false, false }, grams.Select(g => g.IsValid).ToArray());
    }

    [TestMethod]
    public void What_a_Loop_makes_is_not_shown_but_the_graphs_behind_it_keep_their_numbers()
    {
        var branch = new GraphProto();
        var iteration = new GraphProto();
        iteration.Node.Add(SmallModel.NodeOf("If", "c", "i", ("then_branch", branch.Clone()), ("else_branch", branch.Clone())));
        var small = new SmallModel().Node("Loop", ",c", "l", ("body", iteration)).Node("If", "c", "y", ("then_branch", branch.Clone()), ("else_branch", branch.Clone()));
        CollectionAssert.AreEquivalent(new[] { 0, 4, 5 }, Instrumentation.Observable(small.Graph).ToArray());
        Assert.IsNull(new Instrumentation(small.Model).Show(2, "x"));
    }

    [TestMethod]
    public void Where_the_branches_cannot_be_shown_the_main_graph_still_is()
    {
        var small = new SmallModel().Input("x", 1, 4).Input("c", DataType.Bool);
        small.Node("If", "c", "y", ("then_branch", Body("Relu", "m")), ("else_branch", Body("Abs", "n"))).Output("y");
        var data = new ListDataset([new(new Dictionary<string, Tensor>
        {
            ["x"] = SmallModel.Tensor(1, 1, 4),
            ["c"] = Tensor.Of<bool>(DataType.Bool, [], [true]),
        }, null, 1)]);
        // An integer cannot share an output with an empty float tensor.
        var geometry = GramGeometry.Of(GraphExtensions.Node("MatMul", ["x", "w"], ["p"]), 1, [4, 2])!;
        GramMatrix main = new("x", geometry), integer = new("m", geometry, 1);
        StatisticsCollector.Collect(small.Model, [], data, grams: [main, integer]);
        Assert.IsTrue(main.IsValid);
        Assert.IsFalse(integer.IsValid);

        static GraphProto Body(string op, string name)
        {
            var body = new GraphProto { Name = op };
            body.Node.Add(SmallModel.NodeOf("Cast", "x", name, ("to", (int)DataType.Int64)));
            body.Node.Add(SmallModel.NodeOf(op, "x", "t"));
            body.Output.Add(new ValueInfoProto { Name = "t" });
            return body;
        }
    }

    [TestMethod]
    public void The_store_keeps_values_of_one_name_in_two_branches_apart()
    {
        using var folder = new TemporaryFolder();
        var data = new StatisticsStoreTests.Counted("a");
        var small = new SmallModel().Input("x", 2, 2).Floats("z", [1], 0).Node("ReduceMax", "x", "m", ("keepdims", 0)).Node("Greater", "m,h", "c").Floats("h", [], 400)
            .Node("If", "c", "y", ("then_branch", Body("Relu")), ("else_branch", Body("Neg"))).Output("y");
        var (first, second) = (Matrices(), Matrices());
        new StatisticsStore(folder.Path).Collect(small.Model, [], data, grams: first);
        new StatisticsStore(folder.Path).Collect(small.Model, [], data, grams: second);
        Assert.AreEqual(1, data.Runs);
        CollectionAssert.AreEqual(first.Select(g => g.Rows).ToArray(), second.Select(g => g.Rows).ToArray());
        Assert.IsTrue(second.All(g => g.IsValid));
        CollectionAssert.AreEqual(first[1].Moments(0, false), second[1].Moments(0, false));
        CollectionAssert.AreNotEqual(second[0].Moments(0, false), second[1].Moments(0, false));

        static GramMatrix[] Matrices() =>
            [.. new[] { 1, 2 }.Select(g => new GramMatrix("r", GramGeometry.Of(GraphExtensions.Node("MatMul", ["r", "w"], ["t"]), 1, [2, 3])!, g))];

        static GraphProto Body(string op)
        {
            var body = new GraphProto { Name = op };
            body.Node.Add(SmallModel.NodeOf(op, "x", "r"));
            body.Node.Add(SmallModel.NodeOf("Abs", "r", "t"));
            body.Output.Add(new ValueInfoProto { Name = "t" });
            return body;
        }
    }

    private static GramMatrix Gram(string value, int graph)
    {
        var node = value == "x" ? SmallModel.NodeOf("Conv", "x,w", "a", ("pads", new long[] { 1, 1, 1, 1 })) : SmallModel.NodeOf("Conv", "r,v", "t");
        return new GramMatrix(value, GramGeometry.Of(node, 1, value == "x" ? [16, 4, 3, 3] : [8, 16, 3, 3])!, graph);
    }
}
