using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Tests.Passes.Quantization;

namespace ModelBuildTasks.Engine.Tests.Passes.Pruning;

[TestClass]
public sealed class SparsePassTests
{
    private static readonly SourceLocation At = new("test");

    [TestMethod]
    public void On_a_real_model_SparseGpt_loses_less_than_half_of_what_magnitude_loses_on_other_data()
    {
        var model = Digits(out var seen, out var other);
        var noise = new[] { PruneMethod.Magnitude, PruneMethod.SparseGpt }
            .Select(m => Noise(model, Run(model, new PrunePlan(At, 0.6) { Method = m, Allocation = PruneAllocation.Uniform }, seen).Model, other)).ToArray();

        Assert.IsLessThan(noise[0] / 2, noise[1]);
    }

    [TestMethod]
    [DataRow(PruneAllocation.Uniform)]
    [DataRow(PruneAllocation.Global)]
    [DataRow(PruneAllocation.Loss)]
    public void However_zeros_are_spread_there_are_as_many_on_any_number_of_threads(PruneAllocation allocation)
    {
        var model = Digits(out var seen, out _);
        var plan = new PrunePlan(At, 0.5) { Allocation = allocation, Limit = 0.8, Method = PruneMethod.SparseGpt };

        var one = Run(model, plan, seen);
        var two = Run(model, plan, seen, threads: 2);

        CollectionAssert.AreEqual(one.Model.ToBytes(), two.Model.ToBytes());
        var weights = Weights(one.Model);
        var total = weights.Sum(w => w.Count);
        Assert.AreEqual(0.5, weights.Sum(w => w.Zeros) / (double)total, 0.002);
        Assert.IsTrue(weights.All(w => w.Zeros <= 0.8 * w.Count));
        Assert.AreEqual(allocation == PruneAllocation.Uniform, weights.All(w => w.Zeros == w.Count / 2));
    }

    [TestMethod]
    public void Loss_takes_less_from_a_layer_that_the_outputs_need_more()
    {
        // The two halves of the output come from layers alike, one of which counts ten times as much.
        var small = new SmallModel().Input("x", 4, 16).Random("w1", 1, 16, 16).Random("w2", 2, 16, 16).Floats("ten", [1], 10)
            .Node("MatMul", "x,w1", "a").Node("Mul", "a,ten", "b").Node("MatMul", "x,w2", "c").Node("Concat", "b,c", "y", ("axis", 1)).Output("y");

        var weights = Weights(Run(small.Model, new PrunePlan(At, 0.5) { Allocation = PruneAllocation.Loss, Limit = 0.9 }, ListDataset.Random(small.Model, 20)).Model);

        Assert.IsLessThan(0.4 * weights[0].Count, weights[0].Zeros);
        Assert.IsGreaterThan(0.6 * weights[1].Count, weights[1].Zeros);
        Assert.AreEqual(256, weights.Sum(w => w.Zeros));
    }

    [TestMethod]
    public void Biases_take_back_what_goes_on_average()
    {
        var small = new SmallModel().Input("x", 64, 16).Random("w", 1, 16, 24).Random("b", 2, 24).Node("Gemm", "x,w,b", "a").Node("Neg", "a", "y").Output("y");
        var data = ListDataset.Random(small.Model, 8);

        var result = Run(small.Model, new PrunePlan(At, 0.5) { Method = PruneMethod.SparseGpt }, data).Model;

        double[] shifts = new double[24];
        foreach (var batch in data.Batches())
        {
            var (before, after) = (Output(small.Model, batch), Output(result, batch));
            for (var i = 0; i < before.Length; i++)
                shifts[i % 24] += (after[i] - before[i]) / (before.Length / 24) / 8;
        }

        Assert.IsTrue(Array.TrueForAll(shifts, s => Math.Abs(s) < 1e-4), string.Join(' ', shifts));
        Assert.IsEmpty(result.Graph.Initializer.Where(t => t.Name == "b"));
    }

    [TestMethod]
    public void Layers_that_a_pattern_does_not_fit_and_layers_that_a_rule_holds_are_left_with_the_reason()
    {
        var small = new SmallModel().Input("x", 1, 3, 8, 8).Random("w1", 1, 8, 3, 3, 3).Random("w2", 2, 8, 1, 3, 3).Random("w3", 3, 8, 8, 1, 1).Random("w4", 4, 8, 8, 1, 1)
            .Node("Conv", "x,w1", "a").Node("Conv", "a,w2", "b", ("group", 8)).Node("Conv", "b,w3", "c").Node("Conv", "c,w4", "y").Output("y");
        var context = QuantizeTests.Context() with { Rules = [new RulePlan(At, [], "Conv_c", true) { Prune = false }] };

        var result = Prune.Run(small.Model, new PrunePlan(At, 0) { Structure = PruneStructure.Pattern, Shape = (2, 4) }, context);

        CollectionAssert.AreEqual(
            new[] { "its 3 input channels are no multiple of 4", "its 1 input channel is no multiple of 4", "a rule says so", "its values of least magnitude are zero" }, result.Decisions.Select(d => d.Reason).ToArray());
        CollectionAssert.AreEqual(new[] { "left", "left", "left", "pruned 2:4" }, result.Decisions.Select(d => d.What).ToArray());
        Assert.IsTrue(result.Decisions.All(d => d.BytesBefore == d.BytesAfter));
    }

    [TestMethod]
    public void A_rule_that_holds_a_shared_weight_holds_it_for_all()
    {
        var small = new SmallModel().Input("x", 4, 4).Random("w", 1, 4, 4).Node("MatMul", "x,w", "a").Node("MatMul", "a,w", "y").Output("y");
        var context = QuantizeTests.Context() with { Rules = [new RulePlan(At, [], "MatMul_y", true) { Prune = false }] };

        var result = Prune.Run(small.Model, new PrunePlan(At, 0.5), context);

        CollectionAssert.AreEqual(new[] { "a rule holds the weight that it shares", "a rule says so" }, result.Decisions.Select(d => d.Reason).ToArray());
    }

    private static PassResult Run(OnnxModel model, PrunePlan plan, ListDataset data, int threads = 1) =>
        Prune.Run(model, plan, QuantizeTests.Context(data) with { Threads = threads });

    private static OnnxModel Digits(out ListDataset seen, out ListDataset other)
    {
        var model = QuantizeTests.Clean("digits_mobile/digits_mobile.onnx");
        seen = ListDataset.Random(model, 24);
        other = new([.. ListDataset.Random(model, 32).Batches().Skip(24)]);
        return model;
    }

    private static List<(long Count, long Zeros)> Weights(OnnxModel model) =>
        [.. model.Graph.Initializer.Where(t => t.Dims.Count > 1).Select(t => (ElementTypes.Count(t.Dims), model.ReadFloats(t).LongCount(v => v == 0)))];

    private static double Noise(OnnxModel reference, OnnxModel model, ListDataset data) =>
        Math.Pow(10, -QuantizeTests.Sqnr(reference, model, data) / 10);

    private static float[] Output(OnnxModel model, Engine.Data.Batch batch)
    {
        using var session = new Engine.Execution.Session(model.ToBytes());
        return session.Run(batch.Inputs).Values.First().ToFloats();
    }
}
