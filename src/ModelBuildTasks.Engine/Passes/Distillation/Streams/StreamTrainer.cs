using ModelBuildTasks.Engine.Autodiff;
using ModelBuildTasks.Engine.Autodiff.Losses;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Onnx;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Passes.DistillationSteps.Streams;

/// <summary>
/// Trains a student whose outputs are fed back to answer like its teacher on the same stream, by backpropagation through a window of steps. The data is
/// cut into lanes that go forward side by side, each with the state that the student itself left behind the window before, through which no gradient
/// goes. The last part of the data is held back; it, and each lane, is a stream that begins anew, for the teacher, too.
/// </summary>
internal sealed class StreamTrainer(OnnxModel student, OnnxModel teacher, IDataset data, TrainerOptions options, int window)
{
    /// <summary>Trains a copy of the student.</summary>
    /// <param name="progress">Told after every step.</param>
    /// <param name="cancellation">Ends training without a result.</param>
    /// <exception cref="ModelBuildException">MBT2040-MBT2046, MBT2069: why it cannot be trained, or how training failed.</exception>
    public TrainingResult Run(Action<TrainingProgress>? progress = null, CancellationToken cancellation = default)
    {
        var windows = new StreamWindows(data, window, cancellation);
        var lanes = Math.Max(1, options.Batch / window);
        var held = Math.Max(1, (int)Math.Round(windows.Count * options.HeldBack));
        var perEpoch = Math.Max(0, windows.Count - held) / lanes;
        if (perEpoch == 0)
            throw new ModelBuildException(DiagnosticCodes.FewTrainingSamples, $"{windows.Count} windows of {window} runs are too few: a step has {lanes}, and {options.HeldBack:P0} are held back; a smaller 'batch' or 'window' takes less");
        var first = windows.Count - held;
        var anew = Enumerable.Range(0, lanes).Select(l => l * perEpoch).Append(first).ToHashSet();

        var (terms, constants) = (Compared(), windows.Constants);
        var sample = windows.Steps(0)[0];
        var weights = options.Weights.Count > 0 ? options.Weights : Trainer.Trainable(student, terms, sample, constants);
        var unrolled = new Unrolled(student, data.Feedback, weights, terms, sample, constants, window);
        var example = unrolled.Inputs(windows.Steps(0), windows.Initial);
        using var step = new TrainingStep(unrolled.Model, weights, unrolled.Terms, example, options with { Constants = [], Carried = unrolled.States });
        var asked = terms.Select(t => t.Reference ?? t.Value).Distinct().ToList();
        var answers = windows.Ask(teacher, data.Feedback, asked, anew, options.Threads, cancellation);
        var targets = unrolled.Terms.Zip(step.Targets).Select((t, i) => (Target: t.Second, Value: t.First.Reference!, Step: i / terms.Count)).DistinctBy(t => t.Target).ToList();
        foreach (var (target, value, k) in targets)
            Check(step, target, value, answers[0][k][value]);

        Dictionary<string, Tensor> Targets(int w) => targets.ToDictionary(t => t.Target, t => answers[w][t.Step][t.Value]);
        double Judge()
        {
            var (sum, state) = (0.0, windows.Initial);
            for (var w = first; w < windows.Count; w++)
            {
                (var loss, state) = step.LossAndState(unrolled.Inputs(windows.Steps(w), windows.Starts(w) ? windows.Initial : state), Targets(w), cancellation);
                sum += loss;
            }

            return sum / held;
        }

        var loop = new TrainingLoop(step, options, perEpoch, Judge);
        var states = new IReadOnlyDictionary<string, Tensor>[lanes];
        return loop.Run((_, i) =>
        {
            var sum = 0.0;
            for (var lane = 0; lane < lanes; lane++)
            {
                var w = lane * perEpoch + i;
                var state = i == 0 || windows.Starts(w) ? windows.Initial : states[lane];
                (var loss, states[lane]) = step.AccumulateAndState(unrolled.Inputs(windows.Steps(w), state), Targets(w), lane == 0, cancellation);
                sum += loss / lanes;
            }

            return (sum, 1f / lanes);
        }, progress, weights, best => Trainer.Trained(student, options.Quantizer, best));
    }

    /// <summary>What is compared in each step: what is fed back is the student's own affair.</summary>
    private List<LossTerm> Compared()
    {
        var given = options.Terms.Count > 0 ? options.Terms : DefaultTerms.Of(student);
        var outputs = data.Feedback.Values.ToHashSet();
        List<LossTerm> terms = [.. given.Where(t => !outputs.Contains(t.Value))];
        return terms.Exists(t => t.Kind == LossKind.CrossEntropy) ? throw new ModelBuildException(DiagnosticCodes.NoStreamTraining, "a model whose outputs are fed back cannot be trained on labels: the original teaches it, run by run")
            : terms.Count > 0 ? terms : throw new ModelBuildException(DiagnosticCodes.NoStreamTraining, "all float outputs of the model are fed back: there is none that could be compared with the original's");
    }

    private static void Check(TrainingStep step, string target, string value, Tensor answer)
    {
        var expected = step.TargetShape(target);
        if (!expected.SequenceEqual(answer.Shape))
            throw new ModelBuildException(DiagnosticCodes.StudentDoesNotMatch, $"the student gives '{value}' as float32[{string.Join(',', expected)}], its teacher as {ElementTypes.Name(answer.Type)}[{string.Join(',', answer.Shape)}]");
    }
}
