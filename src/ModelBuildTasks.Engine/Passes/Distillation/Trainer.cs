using ModelBuildTasks.Engine.Autodiff;
using ModelBuildTasks.Engine.Autodiff.Losses;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.DistillationSteps.FakeQuantization;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Passes.DistillationSteps;

/// <summary>
/// Trains a student to answer like its teacher. Each step runs the gradient graph on one batch and moves the weights; after each epoch the loss
/// on samples that were held back decides which weights are kept.
/// </summary>
internal sealed class Trainer(OnnxModel student, OnnxModel teacher, IDataset data, TrainerOptions options)
{
    /// <summary>Trains a copy of the student.</summary>
    /// <param name="progress">Told after every step.</param>
    /// <param name="cancellation">Ends training without a result.</param>
    /// <exception cref="ModelBuildException">MBT2040-MBT2046: why it cannot be trained, or how training failed.</exception>
    public TrainingResult Run(Action<TrainingProgress>? progress = null, CancellationToken cancellation = default)
    {
        using var samples = new TrainingSamples(data, options.Constants, options.Memory / 4, cancellation);
        var order = SampleOrder.Shuffled(samples.Count, options.Seed, 0);
        var held = order[..(int)Math.Round(samples.Count * options.HeldBack)];
        var used = order[held.Length..];
        // A model with a fixed batch is run on it as often as a step needs, and at least once.
        var micro = student.Inputs.FirstOrDefault(i => !options.Constants.Contains(i.Name))?.Shape is [> 0 and var rows, ..] ? (int)Math.Min(rows, int.MaxValue) : options.Batch;
        var runs = Math.Max(1, options.Batch / micro);
        var batch = micro * runs;
        if (used.Length < batch || held.Length == 0)
            throw new ModelBuildException(DiagnosticCodes.FewTrainingSamples, $"{samples.Count} samples are too few: a batch has {batch}, and {options.HeldBack:P0} are held back");

        var terms = options.Terms.Count > 0 ? options.Terms : DefaultTerms.Of(student);
        var example = samples.Batch(order.AsSpan(0, micro));
        var weights = options.Weights.Count > 0 ? options.Weights : Trainable(student, terms, example, options.Constants);
        using var step = new TrainingStep(student, weights, terms, example, options);
        using var targets = new TeacherTargets(teacher, samples, step, micro, options, cancellation);

        var loop = new TrainingLoop(step, options, used.Length / batch, () => Judge(step, samples, targets, held, micro, cancellation));
        var (now, turn) = (-1, Array.Empty<int>());
        return loop.Run((epoch, i) =>
        {
            if (now != epoch)
                (now, turn) = (epoch, SampleOrder.Shuffled(used.Length, options.Seed, (ulong)epoch + 1));
            var loss = 0.0;
            for (var r = 0; r < runs; r++)
            {
                int[] chosen = [.. Enumerable.Range(0, micro).Select(k => used[turn[(((i * runs) + r) * micro) + k]])];
                loss += step.Accumulate(samples.Batch(chosen), targets.Batch(chosen), first: r == 0, cancellation) / runs;
            }

            return (loss, 1f / runs);
        }, progress, weights, best => Trained(student, options.Quantizer, best));
    }

    /// <summary>The weights of a student that look like parameters and can be trained.</summary>
    /// <exception cref="ModelBuildException">MBT2041: there is none.</exception>
    internal static List<string> Trainable(OnnxModel student, IReadOnlyList<LossTerm> terms, IReadOnlyDictionary<string, Tensor> example, IReadOnlyCollection<string> constants)
    {
        var parameters = Parameters.Of(student).ToHashSet();
        var can = Trainability.Of(student, [.. terms.Select(t => t.Value).Distinct()], example, constants);
        List<string> weights = [.. can.Where(w => w.Reason is null && parameters.Contains(w.Weight)).Select(w => w.Weight)];
        return weights.Count > 0 ? weights
            : throw new ModelBuildException(DiagnosticCodes.NotTrainable, $"no weight of the model can be trained{(can.FirstOrDefault(w => w.Reason is not null)?.Reason is { } why ? $": {why}" : "")}");
    }

    /// <summary>The mean loss over samples. The last batch is filled up with samples that were in it already, and counts for those that are new.</summary>
    private static double Judge(TrainingStep step, TrainingSamples samples, TeacherTargets targets, int[] numbers, int micro, CancellationToken cancellation)
    {
        var sum = 0.0;
        for (var first = 0; first < numbers.Length; first += micro)
        {
            int[] chosen = [.. Enumerable.Range(first, micro).Select(i => numbers[i % numbers.Length])];
            sum += step.Loss(samples.Batch(chosen), targets.Batch(chosen), cancellation) * Math.Min(micro, numbers.Length - first);
        }

        return sum / numbers.Length;
    }

    /// <summary>A student with other weights.</summary>
    internal static OnnxModel Trained(OnnxModel student, FakeQuantizer? quantizer, IReadOnlyDictionary<string, float[]> values)
    {
        var trained = quantizer?.Freeze(student, [.. values.Keys]) ?? student.Clone();
        foreach (var tensor in trained.Graph.Initializer.Where(t => values.ContainsKey(t.Name)).ToList())
            GraphEdit.ReplaceInitializer(trained.Graph, tensor, trained.CreateTensor(tensor.Name, tensor.Dims, values[tensor.Name]));
        return trained;
    }
}
