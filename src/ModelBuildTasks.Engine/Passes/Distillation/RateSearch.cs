using ModelBuildTasks.Engine.Diagnostics;

namespace ModelBuildTasks.Engine.Passes.DistillationSteps;

/// <summary>
/// Finds a learning rate that helps: what was repaired after pruning is nearly right, and a rate that trains a ruined model would ruin it first. The
/// first steps are a trial; where samples that were held back are answered no better after it, the next trial begins with the weights as they were
/// and a quarter of the rate.
/// </summary>
internal sealed class RateSearch(TrainerOptions options, int steps, int perEpoch)
{
    private const int Trials = 5;

    // A trial sees the highest rate at work for some steps.
    private readonly int _length = Math.Max(Math.Min(perEpoch, 20), LearningRate.Rise(steps, options.WarmUp) + 5);

    private float _share = 1;
    private int _trials;
    private int _step;
    private bool _finite;

    /// <summary>The optimizer of the trial.</summary>
    public AdamW Optimizer { get; private set; } = new(options.Optimizer);

    /// <summary>Whether a trial helped.</summary>
    public bool Found { get; private set; }

    /// <summary>Whether none did.</summary>
    public bool GaveUp => _trials == Trials;

    /// <summary>Ends a search in which the loss did not stay finite at any rate: no rate is small enough for a gradient that is no number.</summary>
    /// <exception cref="ModelBuildException">MBT2044: it did not.</exception>
    public void RequireFinite()
    {
        if (GaveUp && !_finite)
            throw new ModelBuildException(DiagnosticCodes.LossNotFinite, "the loss is finite before training, and after a few steps at any learning rate it is not: a gradient of the model is infinite or no number on this data, as that of a square root at zero is");
    }

    /// <summary>Begins a step.</summary>
    /// <param name="done">Steps done before.</param>
    public void NextStep(int done)
    {
        // Moments that are new point nowhere yet.
        var rise = _trials == 0 ? 1 : Math.Min(1, (_step + 1) / 5f);
        _step++;
        Optimizer.NextStep(LearningRate.At(options.Rate, done, steps, options.WarmUp) * _share * rise);
    }

    /// <summary>Forgets the moments of gradients: those of other weights would make the steps of the next ones too small.</summary>
    public void Forget() => Optimizer = new(options.Optimizer);

    /// <summary>Whether it is to be judged now whether the trial helped.</summary>
    /// <param name="finite">Whether the loss still is.</param>
    public bool IsTrialOver(bool finite) => !Found && (_step >= _length || !finite);

    /// <summary>Ends a trial; gives back whether it helped.</summary>
    /// <param name="loss">The loss on what is held back after it.</param>
    /// <param name="before">The loss before.</param>
    public bool Judge(double loss, double before)
    {
        var better = loss < before;
        Found = better;
        _finite |= double.IsFinite(loss);
        if (!better)
        {
            _trials++;
            _step = 0;
            _share /= 4;
            Optimizer = new(options.Optimizer);
        }

        return better;
    }
}
