using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Passes.DistillationSteps.Blocks;

/// <summary>What a training did to one block.</summary>
/// <param name="Before">The loss on what is held back before.</param>
/// <param name="After">The same with the best weights.</param>
/// <param name="Weights">The best weights.</param>
/// <param name="Steps">Steps done.</param>
internal sealed record BlockResult(double Before, double After, IReadOnlyDictionary<string, float[]> Weights, int Steps);

/// <summary>Trains one block on what its inputs and its ends are for each sample.</summary>
/// <param name="step">The block's gradients.</param>
/// <param name="batch">What a batch of samples gives the gradient graph: inputs and targets.</param>
/// <param name="split">How samples are divided.</param>
/// <param name="options">How it is trained.</param>
internal sealed class BlockTraining(TrainingStep step, Func<int[], (IReadOnlyDictionary<string, Tensor> Inputs, IReadOnlyDictionary<string, Tensor> Targets)> batch, SampleSplit split, TrainerOptions options)
{
    /// <summary>Steps that the options give a block.</summary>
    public static int Steps(SampleSplit split, TrainerOptions options) => Math.Min(options.Steps ?? int.MaxValue, split.StepsPerEpoch * options.Epochs);

    /// <summary>Trains until the epochs are over or held-back samples get no better.</summary>
    public BlockResult Run(Action<int, double, double> progress, CancellationToken cancellation)
    {
        var before = Judge(cancellation);
        var (best, bestLoss, last, since, done, total) = (step.Snapshot(), before, before, 0, 0, Steps(split, options));
        var search = new RateSearch(options, total, split.StepsPerEpoch);
        for (var epoch = 0; done < total && since < options.Patience && !search.GaveUp; epoch++)
        {
            foreach (var runs in split.Epoch(options.Seed, epoch).TakeWhile(_ => done < total && !search.GaveUp))
            {
                search.NextStep(done);
                var loss = Step(runs, search.Optimizer, cancellation);
                done++;
                if (!double.IsFinite(loss) && (search.Found || !double.IsFinite(before)))
                    throw new ModelBuildException(DiagnosticCodes.LossNotFinite, $"the loss of a block is not finite in step {done}; a smaller learning rate may help");
                progress(done, loss, last);
                if (!search.IsTrialOver(double.IsFinite(loss)))
                    continue;
                last = Judge(cancellation);
                if (search.Judge(last, before))
                    Keep();
                else
                    step.Restart();
            }

            if (!search.Found)
                continue;
            last = Judge(cancellation);
            since++;
            if (last < bestLoss)
                Keep();
        }

        search.RequireFinite();
        // Steps that end within a trial.
        if (!search.Found && !search.GaveUp && done > 0)
        {
            last = Judge(cancellation);
            if (last < bestLoss)
                Keep();
        }

        return new(before, bestLoss, best, done);

        void Keep() => (best, bestLoss, since) = (step.Snapshot(), last, 0);
    }

    private double Step(IReadOnlyList<int[]> runs, AdamW optimizer, CancellationToken cancellation)
    {
        var loss = 0.0;
        foreach (var (i, numbers) in runs.Index())
        {
            var (inputs, targets) = batch(numbers);
            loss += step.Accumulate(inputs, targets, first: i == 0, cancellation) / runs.Count;
        }

        if (double.IsFinite(loss))
            step.Move(optimizer, 1f / runs.Count);
        return loss;
    }

    private double Judge(CancellationToken cancellation) => split.HeldMean(numbers =>
    {
        var (inputs, targets) = batch(numbers);
        return step.Loss(inputs, targets, cancellation);
    });
}
