using ModelBuildTasks.Engine.Autodiff;
using ModelBuildTasks.Engine.Autodiff.Losses;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Onnx;
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
        var samples = new TrainingSamples(data, options.Constants, cancellation);
        var order = SampleOrder.Shuffled(samples.Count, options.Seed, 0);
        var held = order[..(int)Math.Round(samples.Count * options.HeldBack)];
        var used = order[held.Length..];
        // A model with a fixed batch is run on it as often as a step needs.
        var micro = student.Inputs.FirstOrDefault(i => !options.Constants.Contains(i.Name))?.Shape is [> 0 and var rows, ..] ? (int)Math.Min(rows, options.Batch) : options.Batch;
        var runs = Math.Max(1, options.Batch / micro);
        var batch = micro * runs;
        if (used.Length < batch || held.Length == 0)
            throw new ModelBuildException(DiagnosticCodes.FewTrainingSamples, $"{samples.Count} samples are too few: a batch has {batch}, and {options.HeldBack:P0} are held back");

        var terms = options.Terms.Count > 0 ? options.Terms : DefaultTerms.Of(student);
        var example = samples.Batch(order.AsSpan(0, micro));
        var weights = options.Weights.Count > 0 ? options.Weights : Trainable(terms, example);
        using var step = new TrainingStep(student, weights, terms, example, options);
        using var targets = new TeacherTargets(teacher, samples, step, micro, options, cancellation);

        var gradual = options.Gradual;
        // What is to be made better is the student pruned at once.
        if (gradual is not null)
            step.Grow(gradual, 1);
        var before = Judge(step, samples, targets, held, micro, cancellation);
        var (best, bestLoss, since) = (step.Snapshot(), before, 0);
        if (gradual is not null)
            step.Restart();
        var perEpoch = used.Length / batch;
        var total = Math.Min(options.Steps ?? int.MaxValue, perEpoch * options.Epochs);
        var search = new RateSearch(options, total, perEpoch);
        var done = 0;
        bool IsPruned() => gradual is null || done >= gradual.Steps(total);
        double? last = null;
        for (var epoch = 0; done < total && since < options.Patience && !search.GaveUp; epoch++)
        {
            var turn = SampleOrder.Shuffled(used.Length, options.Seed, (ulong)epoch + 1);
            var sum = 0.0;
            for (var i = 0; i < perEpoch && done < total && !search.GaveUp; i++)
            {
                search.NextStep(done);
                if (gradual?.IsDue(done + 1, total) == true)
                    step.Grow(gradual, gradual.Share(done + 1, total));
                var loss = 0.0;
                for (var r = 0; r < runs; r++)
                {
                    int[] chosen = [.. Enumerable.Range(0, micro).Select(k => used[turn[(((i * runs) + r) * micro) + k]])];
                    loss += step.Accumulate(samples.Batch(chosen), targets.Batch(chosen), first: r == 0, cancellation) / runs;
                }

                done++;
                if (double.IsFinite(loss))
                    step.Move(search.Optimizer, 1f / runs);
                else if (search.Found || !double.IsFinite(before))
                    throw new ModelBuildException(DiagnosticCodes.LossNotFinite, $"the loss is not finite in step {done}; a smaller learning rate may help");
                sum += loss;
                progress?.Invoke(new(done, total, sum / (i + 1), last));
                if (!search.IsTrialOver(finite: double.IsFinite(loss)))
                    continue;
                last = Judge(step, samples, targets, held, micro, cancellation);
                var reference = IsPruned() ? before : step.AtStart(() => Judge(step, samples, targets, held, micro, cancellation));
                if (search.Judge(last < reference))
                    (best, bestLoss) = IsPruned() ? (step.Snapshot(), last.Value) : (best, bestLoss);
                else
                {
                    step.Restart();
                    if (gradual is not null)
                        step.Grow(gradual, gradual.Share(done, total));
                }
            }

            if (!search.Found || !IsPruned())
                continue;
            last = Judge(step, samples, targets, held, micro, cancellation);
            if (last < bestLoss)
                (best, bestLoss, since) = (step.Snapshot(), last.Value, 0);
            else
                since++;
        }

        return new(Trained(best), before, bestLoss, done, weights) { Masked = [.. step.Masked] };
    }

    private List<string> Trainable(IReadOnlyList<LossTerm> terms, IReadOnlyDictionary<string, Tensor> example)
    {
        var parameters = Parameters.Of(student).ToHashSet();
        var can = Trainability.Of(student, [.. terms.Select(t => t.Value).Distinct()], example, options.Constants);
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

    private OnnxModel Trained(IReadOnlyDictionary<string, float[]> values)
    {
        var trained = options.Quantizer?.Freeze(student, [.. values.Keys]) ?? student.Clone();
        foreach (var tensor in trained.Graph.Initializer.Where(t => values.ContainsKey(t.Name)).ToList())
            GraphEdit.ReplaceInitializer(trained.Graph, tensor, trained.CreateTensor(tensor.Name, tensor.Dims, values[tensor.Name]));
        return trained;
    }
}
