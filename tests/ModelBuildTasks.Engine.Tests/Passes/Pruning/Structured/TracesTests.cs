using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Passes.Pruning;
using ModelBuildTasks.Engine.Passes.Pruning.Structured;
using ModelBuildTasks.Engine.Passes.Pruning.Structured.Selection;
using ModelBuildTasks.Engine.Passes.Quantization.Rounding;
using ModelBuildTasks.Engine.Passes.Quantization.Search;
using ModelBuildTasks.Engine.Tests.Passes.Quantization;

namespace ModelBuildTasks.Engine.Tests.Passes.Pruning.Structured;

[TestClass]
public sealed class TracesTests
{
    private const int Columns = 8;
    private const int Rows = 3;

    [TestMethod]
    public void Losses_are_those_of_the_best_fit_of_what_is_left()
    {
        var (group, readers, reader) = Product(seed: 1);
        var trace = ObsTrace.Of(group, readers, 3);
        Assert.HasCount(3, trace.Order);
        var h = reader.Moments(0);
        for (var k = 1; k <= 3; k++)
        {
            int[] going = [.. trace.Order[..k].SelectMany(u => group.Consumers[0].Columns[u]).Order()];
            Assert.AreEqual(LeastSquares(reader, h, going), trace.Losses[k], 1e-8 * (1 + trace.Losses[k]), $"{k} units");
        }
    }

    [TestMethod]
    public void The_unit_that_goes_first_is_the_one_that_is_missed_least()
    {
        var (group, readers, reader) = Product(seed: 2);
        var h = reader.Moments(0);
        var losses = Enumerable.Range(0, group.Units).Select(u => LeastSquares(reader, h, group.Consumers[0].Columns[u])).ToList();
        Assert.AreEqual(losses.IndexOf(losses.Min()), ObsTrace.Of(group, readers, 1).Order[0]);
    }

    [TestMethod]
    public void Scores_that_ignore_each_other_are_added_up()
    {
        var trace = RemovalTrace.OfScores([3, 1, 2, 1], 3);
        CollectionAssert.AreEqual(new[] { 1, 3, 2 }, trace.Order);
        CollectionAssert.AreEqual(new double[] { 0, 1, 2, 4 }, trace.Losses);
    }

    [TestMethod]
    public void A_refit_leaves_the_least_error_that_weights_and_bias_can()
    {
        var (group, readers, reader) = Product(seed: 3);
        var model = _model!;
        var removed = new Dictionary<int, IReadOnlyList<int>> { [0] = [1, 2] };
        double Error(PruneRepair repair)
        {
            var clone = model.Clone();
            Refit.Apply(clone, [group], readers, removed, repair);
            var probe = OutputProbe.Open(model, _data!, int.MaxValue);
            return probe.Noise(clone);
        }

        var (none, bias, refit) = (Error(PruneRepair.None), Error(PruneRepair.Bias), Error(PruneRepair.Refit));
        Assert.IsLessThan(none, bias);
        Assert.IsLessThan(0.9 * bias, refit);
        // Any other weights on the columns left are worse: the fit is a minimum.
        var best = model.Clone();
        Refit.Apply(best, [group], readers, removed, PruneRepair.Refit);
        var weight = best.Graph.Initializer.First(i => i.Name == best.Graph.Node[2].Input[1]);
        var values = best.ReadFloats(weight);
        Assert.IsTrue(group.Consumers[0].Columns[1].All(c => values.Skip(c * Rows).Take(Rows).All(v => v == 0)));
        var probe = OutputProbe.Open(model, _data!, int.MaxValue);
        foreach (var delta in new[] { 0.03f, -0.03f })
        {
            var moved = (float[])values.Clone();
            moved[0] += delta;
            var other = best.Clone();
            other.Graph.Initializer.First(i => i.Name == weight.Name).PayloadRef = other.CreateTensor("x", weight.Dims, moved).PayloadRef;
            Assert.IsGreaterThan(refit, probe.Noise(other));
        }
    }

    [TestMethod]
    public void What_a_layer_in_front_changed_is_made_up_for_by_the_sequential_fit()
    {
        // Two layers: the second cannot see in the first pass that the first lost something.
        var small = new SmallModel().Input("x", 1, 16, 6).Random("w1", 1, 6, 8).Random("b1", 2, 8).Random("w2", 3, 8, 8).Random("b2", 4, 8).Random("w3", 5, 8, 3).Random("b3", 6, 3)
            .Node("MatMul", "x,w1", "h1").Node("Add", "h1,b1", "a1").Node("Relu", "a1", "r1")
            .Node("MatMul", "r1,w2", "h2").Node("Add", "h2,b2", "a2").Node("Relu", "a2", "r2")
            .Node("MatMul", "r2,w3", "h3").Node("Add", "h3,b3", "y").Output("y");
        var data = ListDataset.Random(small.Model, 24);
        var context = Context(data);
        ChannelGroup[] groups = [Group(0, new(0, 3), "r1", 8), Group(1, new(0, 6), "r2", 8)];
        var readers = new Readers(small.Model, groups, context);
        var removed = new Dictionary<int, IReadOnlyList<int>> { [0] = [0, 3, 5], [1] = [1, 2] };
        var closed = small.Model.Clone();
        Refit.Apply(closed, groups, readers, removed, PruneRepair.Refit);
        var sequential = closed.Clone();
        SequentialRefit.Apply(small.Model, sequential, Refit.Going(groups, readers, removed), context, 1000);
        var probe = OutputProbe.Open(small.Model, data, int.MaxValue);
        Assert.IsLessThan(0.95 * probe.Noise(closed), probe.Noise(sequential));
    }

    [TestMethod]
    public void Steps_follow_the_hull_of_loss_over_saving()
    {
        var group = Group(0, new(0, 0), "x", 4) with { Parameters = [10, 10, 10, 10] };
        // The third unit costs nothing more than the second: they go together.
        var choice = new GroupChoice(group, new([0, 1, 2], [0, 1, 5, 5]), [0, 1, 2, 3]);
        var steps = Allocation.ByLoss([choice], (c, k) => 10 * k);
        CollectionAssert.AreEqual(new[] { 1, 3 }, steps.Select(s => s.Count).ToArray());
        Assert.AreEqual(0.1, steps[0].Price, 1e-12);
        Assert.AreEqual(0.2, steps[1].Price, 1e-12);
    }

    [TestMethod]
    public void The_fewest_steps_are_found_and_what_cannot_be_reached_is_said()
    {
        Assert.AreEqual(7, Allocation.Least(20, n => n >= 7));
        Assert.AreEqual(0, Allocation.Least(20, n => true));
        Assert.IsNull(Allocation.Least(20, n => false));
    }

    [TestMethod]
    public void What_a_step_takes_too_much_is_given_back()
    {
        var first = new GroupChoice(Group(0, new(0, 0), "x", 10), new([0, 1, 2, 3], [0, 1, 2, 3, 4]), [0, 1, 2, 3, 4]);
        var second = new GroupChoice(Group(1, new(0, 0), "y", 10), new([0, 1, 2, 3], [0, 0, 0, 0, 20]), [0, 1, 2, 3, 4]);
        Allocation.Step[] steps = [new(1, 3, 0), new(0, 4, 1), new(1, 4, 5)];
        // Five units are asked for: three of the second are cheap, and two of the four of the first are enough.
        CollectionAssert.AreEqual(new[] { 2, 3 }, Allocation.Trim([first, second], steps, 2, counts => counts.Sum() >= 5));
    }

    [TestMethod]
    public void Two_halves_that_agree_are_believed_and_chance_is_not()
    {
        double[] same = [1, 0.5, 0.2, 0.5, 1, -0.3, 0.2, -0.3, 1];
        Assert.AreEqual(1, SeenMoments.Agreement(same, same, 3, oneHalf: true), 1e-12);
        double[] one = [1, 0.4, 0, 0.4, 1, 0, 0, 0, 1], other = [1, 0, 0.4, 0, 1, 0, 0.4, 0, 1];
        Assert.AreEqual(0, SeenMoments.Agreement(one, other, 3, oneHalf: false), 1e-12);
        // r = 0.4 and 0.2 for one pair: of one half 0.08 / 0.16, of the mean 0.08 / 0.09.
        double[] a = [1, 0.4, 0.4, 1], b = [1, 0.2, 0.2, 1];
        Assert.AreEqual(0.5, SeenMoments.Agreement(a, b, 2, oneHalf: true), 1e-12);
        Assert.AreEqual(0.08 / 0.09, SeenMoments.Agreement(a, b, 2, oneHalf: false), 1e-12);
    }

    [TestMethod]
    public void Widths_are_multiples_of_what_the_runtime_likes()
    {
        CollectionAssert.AreEqual(new[] { 0, 8, 16, 24, 32, 40, 48 }, GroupChoice.Allowed(64, 1, 8, 0.75));
        CollectionAssert.AreEqual(new[] { 0, 1, 2, 3 }, GroupChoice.Allowed(7, 1, 8, 0.5), "7 is no multiple of 8 now");
        CollectionAssert.AreEqual(new[] { 0, 4, 8 }, GroupChoice.Allowed(12, 4, 1, 0.9), "a group of 4 stays whole");
        Assert.AreEqual(1, GroupChoice.Allowed(2, 1, 1, 1)[^1], "one unit is always left");
    }

    private OnnxModel? _model;
    private ListDataset? _data;

    private (ChannelGroup Group, Readers Readers, Reader Reader) Product(int seed)
    {
        // The columns depend on each other: x·m has more columns than x.
        var small = new SmallModel().Input("x", 1, 32, 5).Random("m", seed, 5, Columns).Random("w", seed + 10, Columns, Rows).Random("b", seed + 20, Rows)
            .Node("MatMul", "z,w", "h").Node("Add", "h,b", "y").Output("y");
        var front = SmallModel.NodeOf("MatMul", "x,m", "p");
        small.Graph.Node.Insert(0, front);
        small.Graph.Node.Insert(1, SmallModel.NodeOf("Tanh", "p", "z"));
        _model = small.Model;
        _data = ListDataset.Random(_model, 12);
        var group = new ChannelGroup
        {
            Id = 0,
            Name = "w",
            Kind = "channels",
            Units = 4,
            Slices = [],
            Producers = [],
            Consumers = [new(new(0, 2), 1, "z", [[0, 1], [2, 5], [3, 4], [6, 7]])],
            Parameters = [1, 1, 1, 1],
            Macs = [1, 1, 1, 1],
        };
        var readers = new Readers(_model, [group], Context(_data));
        return (group, readers, readers.Of(group.Consumers[0])!);
    }

    private static ChannelGroup Group(int id, NodeAddress reader, string value, int units) => new()
    {
        Id = id,
        Name = value,
        Kind = "channels",
        Units = units,
        Slices = [],
        Producers = [],
        Consumers = [new(reader, 1, value, [.. Enumerable.Range(0, units).Select(u => (int[])[u])])],
        Parameters = new long[units],
        Macs = new long[units],
    };

    private static PassContext Context(IDataset data) => QuantizeTests.Context(data) with { Threads = 2 };

    /// <summary>tr(W_P·(H_PP − H_PS·H_SS⁻¹·H_SP)·W_Pᵀ) over the outputs' power.</summary>
    private static double LeastSquares(Reader reader, double[] h, int[] going)
    {
        var n = reader.Columns;
        int[] staying = [.. Enumerable.Range(0, n).Except(going)];
        var inner = Pick(h, n, staying, staying);
        var lower = Cholesky.FactorDamped(inner, staying.Length);
        double loss = 0;
        for (var r = 0; r < reader.RowCount; r++)
        {
            var row = reader.Row(r);
            double[] p = [.. going.Select(c => row[c])];
            double[] cross = [.. staying.Select(s => going.Select((g, i) => p[i] * h[g * n + s]).Sum())];
            var solved = (double[])cross.Clone();
            Cholesky.Solve(lower, solved);
            var direct = going.Select((a, i) => going.Select((b, j) => p[i] * p[j] * h[a * n + b]).Sum()).Sum();
            loss += direct - cross.Zip(solved, (a, b) => a * b).Sum();
        }

        return loss / reader.Energy;
    }

    private static double[] Pick(double[] matrix, int n, int[] rows, int[] columns) => [.. rows.SelectMany(r => columns.Select(c => matrix[r * n + c]))];
}
