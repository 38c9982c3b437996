using ModelBuildTasks.Engine.Autodiff;
using ModelBuildTasks.Engine.Autodiff.Losses;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Passes.DistillationSteps.Streams;
using ModelBuildTasks.Engine.Tests.Passes.Quantization;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Tests.Passes.Distillation;

[TestClass]
public sealed class StreamTrainingTests
{
    private static readonly SourceLocation _at = new("compression.yaml", 7, 9);
    private static readonly DistillPlan _plan = new(_at) { Epochs = 6, Batch = 16, Window = 4, LearningRate = 0.01, Patience = 20 };
    private static readonly Dictionary<string, string> _feedback = new() { ["state"] = "next" };

    [TestMethod]
    public void Gradients_through_the_window_are_those_of_finite_differences()
    {
        const int Window = 4;
        using var model = Recurrent(1);
        var data = new Stream(Window);
        var steps = data.Batches().Select(b => b.Inputs).ToList();
        var unrolled = new Unrolled(model, _feedback, ["w", "u", "v"], [new(LossKind.SquaredError, "y")], steps[0], [], Window);
        IReadOnlyDictionary<string, Tensor> state = new Dictionary<string, Tensor> { ["state"] = SmallModel.Tensor(77, 1, 5) };
        var inputs = unrolled.Inputs(steps, state);
        var graph = Gradients.Build(unrolled.Model, new(["w", "u", "v"], unrolled.Terms, inputs) { Kept = [.. unrolled.States.Values] });
        var targets = graph.Targets.Distinct().Select((t, k) => (t, Tensor: SmallModel.Tensor(500 + k, 1, 3))).ToDictionary(t => t.t, t => t.Tensor);
        var weights = new[] { "w", "u", "v" }.ToDictionary(n => n, n => Weight(model, n));
        using var session = new Session(graph.Model, new SessionSettings());
        IReadOnlyDictionary<string, Tensor> Run() => session.Run(inputs.Concat(targets).Concat(weights.Select(w =>
            KeyValuePair.Create(w.Key, Tensor.Of<float>(TensorProto.Types.DataType.Float, [.. model.Graph.Initializer.First(t => t.Name == w.Key).Dims], w.Value)))).ToDictionary());

        var at = Run();

        // The loss is the mean over the runs of the model as it is, one after the other.
        using var alone = new Session(model, new SessionSettings());
        var (mean, carried) = (0.0, state["state"]);
        for (var k = 0; k < Window; k++)
        {
            var answer = alone.Run(new Dictionary<string, Tensor>(steps[k]) { ["state"] = carried });
            mean += answer["y"].ToFloats().Zip(targets[graph.Targets[k]].ToFloats()).Average(p => (double)(p.First - p.Second) * (p.First - p.Second)) / Window;
            carried = answer["next"];
        }

        Assert.AreEqual(mean, at[graph.Loss].ToFloats()[0], 1e-5);
        CollectionAssert.AreEqual(carried.ToFloats().Select(v => MathF.Round(v, 5)).ToArray(), at[unrolled.States["state"]].ToFloats().Select(v => MathF.Round(v, 5)).ToArray());
        foreach (var (name, values) in weights)
        {
            var gradient = at[graph.Outputs[name]].ToFloats();
            for (var i = 0; i < values.Length; i += 3)
            {
                var was = values[i];
                values[i] = was + 0.01f;
                var above = Run()[graph.Loss].ToFloats()[0];
                values[i] = was - 0.01f;
                var below = Run()[graph.Loss].ToFloats()[0];
                values[i] = was;
                Assert.AreEqual((above - below) / 0.02, gradient[i], 2e-3 + 0.02 * Math.Abs(gradient[i]), $"{name}[{i}]");
            }
        }
    }

    [TestMethod]
    public void A_recurrent_model_learns_on_a_stream_and_answers_better_on_another()
    {
        using var teacher = Recurrent(1);
        using var student = Recurrent(1, disturb: 0.3f);
        var result = Distill.Run(student, _plan, Context(teacher, new Stream(400)));
        Assert.IsLessThan(0.3 * Error(student, teacher), Error(result.Model, teacher));
        Assert.IsTrue(result.Decisions.All(d => d.What == "trained"));
        // Also through a sequence that begins anew in the middle, and the same on any number of threads.
        var parts = new Stream(400, every: 90);
        var one = Distill.Run(student, _plan, Context(teacher, parts)).Model;
        Assert.IsLessThan(0.5 * Error(student, teacher), Error(one, teacher));
        Assert.IsTrue(one.ToBytes().AsSpan().SequenceEqual(Distill.Run(student, _plan, Context(teacher, parts) with { Threads = 3 }).Model.ToBytes()));
    }

    [TestMethod]
    public void A_longer_window_learns_what_takes_several_runs_to_show()
    {
        using var teacher = Recurrent(1);
        using var student = Recurrent(1, disturb: 0.5f, only: "u");
        var context = Context(teacher, new Stream(400));
        double after(int window) => Error(Distill.Run(student, _plan with { Window = window, Batch = 32, Epochs = 3 }, context).Model, teacher);
        // With a window of one run no gradient reaches what the state is made of.
        Assert.IsLessThan(after(1), after(8));
    }

    [TestMethod]
    public void Zeros_and_rounding_are_kept_as_in_training_without_a_stream()
    {
        using var teacher = Recurrent(1, width: 32);
        var quantize = QuantizeTests.Plan(ActivationMode.None);
        var context = Context(teacher, new Stream(400, width: 32));
        var pruned = Prune.Run(teacher, new PrunePlan(_at, 0.5), QuantizeTests.Context()).Model;

        var trained = Distill.Run(pruned, _plan with { Quantize = quantize }, context).Model;
        foreach (var name in new[] { "w", "u", "v" })
        {
            CollectionAssert.AreEqual(Weight(pruned, name).Select(v => v == 0).ToArray(), Weight(trained, name).Select(v => v == 0).ToArray());
            CollectionAssert.AreNotEqual(Weight(pruned, name), Weight(trained, name));
        }

        var gradual = Distill.Run(teacher, _plan with { Prune = new(_at, 0.5) { Allocation = PruneAllocation.Uniform } }, context).Model;
        Assert.AreEqual(Weight(teacher, "u").Length / 2, Weight(gradual, "u").Count(v => v == 0));
    }

    [TestMethod]
    public void A_voice_detector_that_was_pruned_answers_better_on_a_part_of_the_recording_that_it_was_not_trained_on()
    {
        var teacher = QuantizeTests.Clean("silero-vad/silero_vad_16k_op15.onnx");
        var all = Speech(teacher);
        var pruned = Prune.Run(teacher, new PrunePlan(_at, 0.6) { Allocation = PruneAllocation.Uniform }, QuantizeTests.Context()).Model;
        var plan = new DistillPlan(_at) { Epochs = 2, Batch = 32, Window = 8, LearningRate = 0.001 };

        var trained = Distill.Run(pruned, plan, QuantizeTests.Context() with { Teacher = teacher, Training = new Part(all, 0, 320) });

        var rest = new Part(all, 320, 480);
        Assert.IsLessThan(0.7 * Error(pruned, teacher, rest, "output"), Error(trained.Model, teacher, rest, "output"), trained.Summary);
    }

    [TestMethod]
    public void What_cannot_be_trained_on_a_stream_is_refused()
    {
        using var teacher = Recurrent(1);
        var context = Context(teacher, new Stream(400));
        Refused(DiagnosticCodes.FewTrainingSamples, _plan, context with { Training = new Stream(12) });
        Refused(DiagnosticCodes.NoStreamTraining, _plan, context with { Training = new Part(new Stream(400), 0, 400, streams: false) });
        // All that the model answers is fed back.
        using var closed = Recurrent(1);
        closed.Graph.Output.RemoveAt(closed.Graph.Output.ToList().FindIndex(o => o.Name == "y"));
        Refused(DiagnosticCodes.NoStreamTraining, _plan, context with { Teacher = closed }, closed);

        void Refused(string code, DistillPlan plan, PassContext given, OnnxModel? student = null)
        {
            var error = Assert.ThrowsExactly<ModelBuildException>(() => Distill.Run(student ?? teacher, plan, given));
            Assert.AreEqual((code, _at), (error.First.Code, error.First.Location), error.Message);
        }
    }

    private static PassContext Context(OnnxModel teacher, IDataset data) => QuantizeTests.Context() with { Teacher = teacher, Training = data };

    /// <summary>s' = tanh(x·W + s·U), y = s'·V.</summary>
    private static OnnxModel Recurrent(int seed, float disturb = 0, string? only = null, int width = 5)
    {
        var small = new SmallModel().Input("x", 1, width - 1).Input("state", 1, width);
        foreach (var (name, rows, columns, scale) in new[] { ("w", width - 1, width, 0.7f), ("u", width, width, 0.6f), ("v", width, 3, 1f) })
        {
            var values = SmallModel.Values(seed + name[0], rows * columns);
            var noise = SmallModel.Values(1000 + name[0], rows * columns);
            small.Floats(name, [rows, columns], [.. values.Zip(noise, (v, n) => (scale * v) + (only is null || only == name ? disturb * n : 0))]);
        }

        small.Node("MatMul", "x,w", "a").Node("MatMul", "state,u", "b").Node("Add", "a,b", "c").Node("Tanh", "c", "next").Node("MatMul", "next,v", "p").Node("Tanh", "p", "y");
        return small.Output("y").Output("next").Model;
    }

    private static double Error(OnnxModel model, OnnxModel teacher) => Error(model, teacher, new Stream(100, seed: 7000), "y");

    private static double Error(OnnxModel model, OnnxModel teacher, IDataset data, string output)
    {
        using var one = new Session(model, new SessionSettings());
        using var other = new Session(teacher, new SessionSettings());
        var (first, second) = (new SequenceRunner(one, data.Feedback), new SequenceRunner(other, data.Feedback));
        return data.Batches().Average(b => first.Run(b, [output])[output].ToFloats().Zip(second.Run(b, [output])[output].ToFloats()).Average(p => (double)(p.First - p.Second) * (p.First - p.Second)));
    }

    private static float[] Weight(OnnxModel model, string name) => model.ReadFloats(model.Graph.Initializer.First(t => t.Name == name));

    /// <summary>Waves with noise that stand in for speech: the detector's inputs, windows with their context.</summary>
    private static Part Speech(OnnxModel model)
    {
        var batches = new List<Batch>();
        var feed = model.Inputs.First(i => i.Name == "state");
        for (var i = 0; i < 480; i++)
        {
            // Loud for some windows, quiet for others, as speech is.
            var loud = i / 12 % 3 == 0 ? 0.02f : 0.4f;
            var noise = SmallModel.Values(i, 576);
            float[] samples = [.. Enumerable.Range(0, 576).Select(k =>
            {
                var t = ((i * 512) + k) / 16000f;
                return loud * (MathF.Sin(2 * MathF.PI * (140 + (20 * (i / 12 % 4))) * t) + (0.5f * MathF.Sin(2 * MathF.PI * 900 * t * (1 + (0.1f * (i % 5))))) + (0.3f * noise[k])) / 2;
            })];
            batches.Add(new(new Dictionary<string, Tensor>
            {
                ["input"] = Tensor.Of<float>(TensorProto.Types.DataType.Float, [1, 576], samples),
                ["sr"] = Tensor.Of<long>(TensorProto.Types.DataType.Int64, [], [16000]),
                ["state"] = Tensor.Of<float>(TensorProto.Types.DataType.Float, [.. feed.Shape!.Select(d => Math.Max(d, 1))], new float[ElementTypes.Count(feed.Shape!.Select(d => Math.Max(d, 1)))]),
            }, null, 1)
            { SequenceStart = i == 0 });
        }

        return new(new Listed(batches, new Dictionary<string, string> { ["state"] = "stateN" }), 0, 480);
    }

    private sealed class Stream(int count, int every = int.MaxValue, int seed = 0, int width = 5) : IDataset
    {
        public long Count => count;

        public bool HasLabels => false;

        public string Description => "stream";

        public string ContentHash => "";

        public IReadOnlyDictionary<string, string> Feedback => _feedback;

        public IEnumerable<Batch> Batches() => Enumerable.Range(0, count).Select(i => new Batch(
            new Dictionary<string, Tensor> { ["x"] = SmallModel.Tensor(seed + i, 1, width - 1), ["state"] = Tensor.Of<float>(TensorProto.Types.DataType.Float, [1, width], new float[width]) }, null, 1)
        { SequenceStart = i % every == 0 });
    }

    private sealed class Listed(IReadOnlyList<Batch> batches, IReadOnlyDictionary<string, string> feedback) : IDataset
    {
        public long Count => batches.Count;

        public bool HasLabels => false;

        public string Description => "list";

        public string ContentHash => "";

        public IReadOnlyDictionary<string, string> Feedback => feedback;

        public IEnumerable<Batch> Batches() => batches;
    }

    private sealed class Part(IDataset source, int skip, int until, bool streams = true) : IDataset
    {
        public long Count => until - skip;

        public bool HasLabels => false;

        public string Description => "part";

        public string ContentHash => "";

        public IReadOnlyDictionary<string, string> Feedback => streams ? source.Feedback : new Dictionary<string, string>();

        public IEnumerable<Batch> Batches() => source.Batches().Take(until).Skip(skip).Select((b, i) => b with { SequenceStart = i == 0 || b.SequenceStart });
    }
}
