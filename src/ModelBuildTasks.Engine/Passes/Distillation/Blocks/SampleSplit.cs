using ModelBuildTasks.Engine.Diagnostics;

namespace ModelBuildTasks.Engine.Passes.DistillationSteps.Blocks;

/// <summary>Which samples are trained on and which are held back, in batches of a size that a small dataset has, too.</summary>
internal sealed class SampleSplit
{
    private readonly int[] _held;
    private readonly int[] _used;
    private readonly int _runs;

    /// <param name="count">Samples in all.</param>
    /// <param name="rows">The batch that the model is fixed to; null where it is free.</param>
    /// <param name="options">The share that is held back, samples of a step and seed.</param>
    /// <exception cref="ModelBuildException">MBT2046: there are too few.</exception>
    public SampleSplit(int count, long? rows, TrainerOptions options)
    {
        var order = SampleOrder.Shuffled(count, options.Seed, 0);
        // One photo has thousands of places: it can judge.
        var held = count < 2 ? 0 : Math.Max(1, (int)Math.Round(count * options.HeldBack));
        (_held, _used) = (order[..held], order[held..]);
        if (held == 0 || _used.Length == 0 || _used.Length < rows)
            throw new ModelBuildException(DiagnosticCodes.FewTrainingSamples, $"{count} samples are too few: {options.HeldBack:P0} are held back, and the model takes {rows ?? 1} at a time; give it more data");
        var batch = Math.Min(options.Batch, _used.Length);
        Micro = (int)Math.Min(rows ?? batch, _used.Length);
        _runs = Math.Max(1, batch / Micro);
    }

    /// <summary>Samples of one run.</summary>
    public int Micro { get; }

    /// <summary>Steps in which all samples are gone through.</summary>
    public int StepsPerEpoch => _used.Length / (Micro * _runs);

    /// <summary>The first samples, as an example of a run.</summary>
    public int[] Example => [.. Enumerable.Range(0, Micro).Select(i => _used[i])];

    /// <summary>The runs of each step of an epoch.</summary>
    public IEnumerable<IReadOnlyList<int[]>> Epoch(ulong seed, int epoch)
    {
        var turn = SampleOrder.Shuffled(_used.Length, seed, (ulong)epoch + 1);
        for (var i = 0; i < StepsPerEpoch; i++)
            yield return [.. Enumerable.Range(0, _runs).Select(r => Enumerable.Range(((i * _runs) + r) * Micro, Micro).Select(k => _used[turn[k]]).ToArray())];
    }

    /// <summary>The mean over the samples that are held back of what a run gives. The last run is filled up with samples that were in it already, and counts for those that are new.</summary>
    public double HeldMean(Func<int[], double> run)
    {
        var sum = 0.0;
        for (var first = 0; first < _held.Length; first += Micro)
            sum += run([.. Enumerable.Range(first, Micro).Select(i => _held[i % _held.Length])]) * Math.Min(Micro, _held.Length - first);
        return sum / _held.Length;
    }
}
