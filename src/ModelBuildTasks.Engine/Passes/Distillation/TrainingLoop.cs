using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.DistillationSteps;

/// <summary>Epochs of steps in their order, with a search for the learning rate, zeros that grow, and the weights that are best on what is held back.</summary>
/// <param name="step">The weights and their gradients.</param>
/// <param name="options">How long, and how fast.</param>
/// <param name="perEpoch">Steps of an epoch.</param>
/// <param name="judge">The loss on what is held back.</param>
internal sealed class TrainingLoop(TrainingStep step, TrainerOptions options, int perEpoch, Func<double> judge)
{
    /// <summary>Trains.</summary>
    /// <param name="accumulate">Adds up the gradients of an epoch's step; gives the loss and the factor before the gradients.</param>
    /// <param name="progress">Told after every step.</param>
    /// <param name="weights">Names of what is trained.</param>
    /// <param name="trained">The student with some weights.</param>
    public TrainingResult Run(
        Func<int, int, (double Loss, float Factor)> accumulate, Action<TrainingProgress>? progress, IReadOnlyList<string> weights, Func<IReadOnlyDictionary<string, float[]>, OnnxModel> trained)
    {
        var gradual = options.Gradual;
        // What is to be made better is the student pruned at once, and a rate that helps it is one for a student that loses a little more every few
        // steps: one that still answers like its teacher would want the smallest.
        if (gradual is not null)
            step.Grow(gradual, 1);
        var before = judge();
        var (best, bestLoss, since) = (step.Snapshot(), before, 0);
        var total = Math.Min(options.Steps ?? int.MaxValue, perEpoch * options.Epochs);
        var search = new RateSearch(options, total, perEpoch);
        var (done, from) = (0, 0);
        double? last = null;
        bool IsPruned() => gradual is null || done - from >= gradual.Steps(total - from);
        for (var epoch = 0; done < total && since < options.Patience && !search.GaveUp; epoch++)
        {
            var sum = 0.0;
            for (var i = 0; i < perEpoch && done < total && !search.GaveUp; i++)
            {
                search.NextStep(done);
                if (search.Found && gradual?.IsDue(done + 1 - from, total - from) == true)
                    step.Grow(gradual, gradual.Share(done + 1 - from, total - from));
                var (loss, factor) = accumulate(epoch, i);
                done++;
                if (double.IsFinite(loss))
                    step.Move(search.Optimizer, factor);
                else if (search.Found || !double.IsFinite(before))
                    throw new ModelBuildException(DiagnosticCodes.LossNotFinite, $"the loss is not finite in step {done}; a smaller learning rate may help");
                sum += loss;
                progress?.Invoke(new(done, total, sum / (i + 1), last));
                if (!search.IsTrialOver(finite: double.IsFinite(loss)))
                    continue;
                last = judge();
                if (search.Judge(last.Value, before))
                    (best, bestLoss) = (step.Snapshot(), last.Value);
                if (gradual is null && search.Found)
                    continue;
                // The weights come back, with gradual pruning to lose their zeros one after the other.
                step.Restart();
                search.Forget();
                from = done;
                if (gradual is not null && !search.Found)
                    step.Grow(gradual, 1);
            }

            if (!search.Found || !IsPruned())
                continue;
            last = judge();
            if (last < bestLoss)
                (best, bestLoss, since) = (step.Snapshot(), last.Value, 0);
            else
                since++;
        }

        search.RequireFinite();
        // Steps that end within a trial are a training, too.
        if (!search.Found && !search.GaveUp && done > 0)
        {
            last = judge();
            if (last < bestLoss)
                (best, bestLoss) = (step.Snapshot(), last.Value);
        }

        return new(trained(best), before, bestLoss, done, weights) { Masked = [.. step.Masked] };
    }
}
