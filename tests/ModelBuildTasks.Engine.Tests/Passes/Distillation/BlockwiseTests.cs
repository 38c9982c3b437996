using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Tests.Passes.Quantization;
using static ModelBuildTasks.Engine.Tests.Passes.Distillation.DistillNetworks;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Tests.Passes.Distillation;

[TestClass]
public sealed class BlockwiseTests
{
    private static readonly SourceLocation _at = new("compression.yaml", 7, 9);
    private static readonly DistillPlan _plan = new(_at) { Method = DistillMethod.Blockwise, Epochs = 10, Batch = 8, LearningRate = 0.005 };

    [TestMethod]
    public void Few_samples_bring_back_what_rounding_takes_and_quantize_stores_it()
    {
        using var teacher = Residual(1);
        var quantize = new QuantizePlan(_at) { Bits = new(2) { Symmetric = true }, Activations = ActivationMode.None };
        var context = Context(teacher, new RandomSamples(20, 3, 6, 6));
        var rounded = Quantize.Run(teacher, quantize, context).Model;
        var result = Distill.Run(teacher, _plan with { Quantize = quantize }, context);
        var stored = Quantize.Run(result.Model, quantize, context).Model;
        Assert.IsLessThan(0.6 * Error(rounded, teacher, 50, 3, 6, 6), Error(stored, teacher, 50, 3, 6, 6));
        CollectionAssert.AreEqual(Answer(result.Model, 50, 3, 6, 6), Answer(stored, 50, 3, 6, 6));
        // Every weight says which block it was in.
        Assert.IsTrue(result.Decisions.All(d => d.Reason.Contains("block ", StringComparison.Ordinal)));
        StringAssert.Contains(result.Decisions[0].Reason, "block 1 of 4: loss on held-back samples ");
        StringAssert.Contains(result.Summary, "4 of 4 blocks");
    }

    [TestMethod]
    public void Zeros_stay_and_later_blocks_make_up_for_earlier_ones()
    {
        using var teacher = Residual(1);
        var context = Context(teacher, new RandomSamples(40, 3, 6, 6));
        var pruned = Prune.Run(teacher, new PrunePlan(_at, 0.6) { Repair = PruneRepair.None, Allocation = PruneAllocation.Uniform }, context).Model;
        var result = Distill.Run(pruned, _plan, context);
        Assert.IsLessThan(0.7 * Error(pruned, teacher, 50, 3, 6, 6), Error(result.Model, teacher, 50, 3, 6, 6));
        foreach (var name in new[] { "a0", "b1", "v" })
        {
            var (before, after) = (Weight(pruned, name), Weight(result.Model, name));
            CollectionAssert.AreEqual(before.Select(v => v == 0).ToArray(), after.Select(v => v == 0).ToArray());
            CollectionAssert.AreNotEqual(before, after);
        }
    }

    [TestMethod]
    public void The_same_seed_gives_the_same_bytes_on_any_number_of_threads_and_with_any_memory()
    {
        using var teacher = Residual(1);
        using var student = Residual(5);
        var context = Context(teacher, new RandomSamples(12, 3, 6, 6));
        byte[] run(int threads, DistillPlan plan) => Distill.Run(student, plan with { Epochs = 2 }, context with { Threads = threads }).Model.ToBytes();
        var one = run(1, _plan);
        Assert.IsTrue(one.SequenceEqual(run(3, _plan)));
        Assert.IsFalse(one.SequenceEqual(run(1, _plan with { Seed = 1 })));
        // All weights together, too: long products with few columns are where threads could cut sums otherwise.
        var whole = _plan with { Method = DistillMethod.EndToEnd, Steps = 8, Epochs = 20 };
        Assert.IsTrue(Distill.Run(student, whole, context).Model.ToBytes().SequenceEqual(Distill.Run(student, whole, context with { Threads = 3 }).Model.ToBytes()));
        // Little memory: what blocks read comes from a file, and activations are computed again.
        Assert.IsTrue(one.SequenceEqual(run(1, _plan with { Memory = 800_000 })));
    }

    [TestMethod]
    public void A_model_with_a_fixed_batch_is_trained_sample_by_sample()
    {
        using var teacher = Residual(1, batch: 1);
        using var student = Residual(5, batch: 1);
        var context = Context(teacher, new RandomSamples(20, 3, 6, 6));
        var result = Distill.Run(student, _plan, context);
        Assert.IsLessThan(0.5 * Error(student, teacher, 1, 3, 6, 6), Error(result.Model, teacher, 1, 3, 6, 6));
    }

    [TestMethod]
    public void What_has_no_blocks_is_refused()
    {
        using var teacher = new SmallModel().Input("x", -1, 4).Random("w", 1, 4, 3).Node("MatMul", "x,w", "y").Output("y").Model;
        var context = Context(teacher, new RandomSamples(20, 4));
        Refused(DiagnosticCodes.NoBlocks, () => Distill.Run(teacher, _plan, context));
        Refused(DiagnosticCodes.FewTrainingSamples, () => Distill.Run(teacher, _plan, Context(teacher, new RandomSamples(1, 4))));
        using var other = Residual(1);
        var broken = Context(other, new RandomSamples(20, 3, 6, 6));
        foreach (var tensor in other.Graph.Initializer.Where(t => t.Name == "v").ToList())
            GraphEdit.ReplaceInitializer(other.Graph, tensor, other.CreateTensor("v", tensor.Dims, [.. Enumerable.Repeat(float.NaN, 40)]));
        Refused(DiagnosticCodes.LossNotFinite, () => Distill.Run(Residual(1), _plan, broken));
    }

    [TestMethod]
    public void A_real_network_answers_more_like_the_original_after_ninety_photos()
    {
        using var model = QuantizeTests.Clean("digits_mobile/digits_mobile.onnx");
        var digits = new Digits(90);
        var quantize = new QuantizePlan(_at) { Bits = new(2), Activations = ActivationMode.None };
        var context = Context(model, digits);
        var rounded = Quantize.Run(model, quantize, context).Model;
        var trained = Distill.Run(model, _plan with { Epochs = 3, Batch = 30, Quantize = quantize, LearningRate = 0.003 }, context).Model;
        Assert.IsLessThan(0.5 * digits.Error(rounded, model), digits.Error(trained, model));
    }

    private static OnnxModel Residual(int seed, long batch = -1)
    {
        // Of a size that keeps values as large as they are from block to block.
        SmallModel random(SmallModel model, string name, int number, float size, params long[] dims) => model.Floats(name, dims, [.. SmallModel.Values(number, ElementTypes.Count(dims)).Select(v => size * v)]);
        var small = random(new SmallModel().Input("x", batch, 3, 6, 6), "stem", seed + 50, 0.4f, 8, 3, 3, 3).Node("Conv", "x,stem", "c", ("pads", new long[] { 1, 1, 1, 1 })).Node("Relu", "c", "h0");
        for (var i = 0; i < 3; i++)
        {
            random(random(small, $"a{i}", seed + i, 0.25f, 8, 8, 3, 3), $"b{i}", seed + i + 10, 0.2f, 8, 8, 3, 3)
                .Node("Conv", $"h{i},a{i}", $"p{i}", ("pads", new long[] { 1, 1, 1, 1 })).Node("Relu", $"p{i}", $"q{i}")
                .Node("Conv", $"q{i},b{i}", $"r{i}", ("pads", new long[] { 1, 1, 1, 1 })).Node("Add", $"r{i},h{i}", $"s{i}").Node("Relu", $"s{i}", $"h{i + 1}");
        }

        return small.Random("v", seed + 30, 8, 5).Node("GlobalAveragePool", "h3", "g").Node("Flatten", "g", "f").Node("MatMul", "f,v", "z").Node("Tanh", "z", "y").Output("y").Model;
    }

    /// <summary>Noise with strokes: what a network of digits tells apart without the digits at hand.</summary>
    private sealed class Digits(int count) : IDataset
    {
        public long Count => count;

        public bool HasLabels => false;

        public string Description => "strokes";

        public string ContentHash => "";

        public IEnumerable<Batch> Batches() => Enumerable.Range(0, count).Select(i => new Batch(new Dictionary<string, Tensor> { ["image"] = Stroke(i) }, null, 1));

        public double Error(OnnxModel model, OnnxModel reference)
        {
            using var mine = new Engine.Execution.Session(model, new());
            using var theirs = new Engine.Execution.Session(reference, new());
            double noise = 0, power = 0;
            for (var i = 0; i < 100; i++)
            {
                var x = new Dictionary<string, Tensor> { ["image"] = Stroke(5000 + i) };
                foreach (var (a, b) in mine.Run(x).Values.First().ToFloats().Zip(theirs.Run(x).Values.First().ToFloats()))
                {
                    noise += (a - b) * (a - b);
                    power += b * b;
                }
            }

            return noise / power;
        }

        private static Tensor Stroke(int seed)
        {
            var random = new SplitMix64((ulong)seed);
            var values = new float[28 * 28];
            for (var line = 0; line < 3; line++)
            {
                var (x, y) = (6 + (16 * random.NextDouble()), 6 + (16 * random.NextDouble()));
                var (dx, dy) = (random.NextDouble() - 0.5, random.NextDouble() - 0.5);
                for (var t = 0; t < 24; t++, x += dx, y += dy)
                {
                    if (x is > 1 and < 26 && y is > 1 and < 26)
                        values[((int)y * 28) + (int)x] = values[((int)y * 28) + (int)x + 1] = 1;
                }
            }

            return Tensor.Of<float>(TensorProto.Types.DataType.Float, [1, 1, 28, 28], values);
        }
    }
}
