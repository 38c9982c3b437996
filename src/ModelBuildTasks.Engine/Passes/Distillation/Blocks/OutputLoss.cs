using ModelBuildTasks.Engine.Autodiff.Losses;
using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.DistillationSteps.Blocks;

/// <summary>The loss of whole students on the samples that are held back.</summary>
internal sealed class OutputLoss : IDisposable
{
    private readonly TrainingStep _first;
    private readonly TeacherTargets _targets;
    private readonly Func<OnnxModel, TrainingStep> _step;
    private readonly TrainingSamples _samples;
    private readonly SampleSplit _split;

    public OutputLoss(OnnxModel student, OnnxModel teacher, IReadOnlyList<LossTerm> terms, TrainingSamples samples, SampleSplit split, TrainerOptions options, CancellationToken cancellation)
    {
        (_samples, _split) = (samples, split);
        var example = samples.Batch(split.Example);
        // Nothing is trained: there is nothing to differentiate.
        _step = model => new(model, [], terms, example, options with { Quantizer = null });
        _first = _step(student);
        _targets = new(teacher, samples, _first, split.Micro, options, cancellation);
    }

    /// <summary>The loss of a student that has the graph of the first.</summary>
    public double Of(OnnxModel student, CancellationToken cancellation)
    {
        using var step = _step(student);
        return _split.HeldMean(numbers => step.Loss(_samples.Batch(numbers), _targets.Batch(numbers), cancellation));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _first.Dispose();
        _targets.Dispose();
    }
}
