using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.Quantization.Search;

/// <summary>
/// The error that each place of rounding makes at the model's outputs when it is the only one, measured when it is first asked for.
/// Errors of different places are nearly uncorrelated, so that their sum predicts the error of several.
/// </summary>
internal sealed class NoiseTable(OutputProbe probe, Simulation simulation, int threads)
{
    private readonly Dictionary<NoiseSource, double> _noise = [];

    /// <summary>Measures the places that were not measured yet.</summary>
    public void Measure(IEnumerable<NoiseSource> sources, Action<double>? progress = null)
    {
        var missing = sources.Distinct().Where(s => !_noise.ContainsKey(s)).ToList();
        foreach (var (source, measured) in missing.Zip(Each([.. missing.Select(s => new[] { s })], progress)))
            _noise[source] = measured;
    }

    /// <summary>Batches of the probe.</summary>
    public int Batches => probe.Count;

    /// <summary>The error of each of several sets of places on some of the batches: to sort out, not to keep.</summary>
    public double[] Rough(IReadOnlyList<IReadOnlyList<NoiseSource>> sets, int batches)
    {
        var measured = new double[sets.Count];
        Parallel.For(0, sets.Count, new ParallelOptions { MaxDegreeOfParallelism = Math.Max(1, threads) }, i => measured[i] = probe.Noise(simulation.Build(sets[i]), batches));
        return measured;
    }

    /// <summary>The error of each of several sets of places, measured; what was measured before is not measured again.</summary>
    public double[] Each(IReadOnlyList<IReadOnlyList<NoiseSource>> sets, Action<double>? progress = null)
    {
        var measured = new double[sets.Count];
        var done = 0;
        Parallel.For(0, sets.Count, new ParallelOptions { MaxDegreeOfParallelism = Math.Max(1, threads) }, i =>
        {
            // The table only grows behind the loop.
            measured[i] = sets[i] is [var single] && _noise.TryGetValue(single, out var known) ? known : Together(sets[i]);
            progress?.Invoke((double)Interlocked.Increment(ref done) / sets.Count);
        });
        for (var i = 0; i < sets.Count; i++)
        {
            if (sets[i] is [var single])
                _noise[single] = measured[i];
        }

        return measured;
    }

    /// <summary>Σ (reference − output)² when only this place rounds.</summary>
    public double this[NoiseSource source]
    {
        get
        {
            if (!_noise.TryGetValue(source, out var noise))
                _noise[source] = noise = Together([source]);
            return noise;
        }
    }

    /// <summary>The error of several places together, measured.</summary>
    public double Together(IEnumerable<NoiseSource> sources) => probe.Noise(simulation.Build(sources));
}
