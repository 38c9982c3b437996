namespace ModelBuildTasks.Engine.Passes.Pruning;

/// <summary>A pruned weight.</summary>
/// <param name="Raw">The values after pruning, in the type they had; empty where they were written already.</param>
/// <param name="Count">Number of values.</param>
/// <param name="Cleared">Values that became zero and were not.</param>
/// <param name="Zeros">Values that are zero now.</param>
/// <param name="Sqnr">10·log10(Σw²/Σ(w−w')²) in dB, at most 200; null for a weight of zeros.</param>
internal sealed record PrunedWeight(byte[] Raw, long Count, long Cleared, long Zeros, double? Sqnr)
{
    /// <summary>How it was decided what goes.</summary>
    public string Method { get; init; } = "magnitude";

    /// <summary>The power of the node's outputs over that of their error, predicted from the calibration data, in dB; null where the inputs are not known.</summary>
    public double? OutputSqnr { get; init; }

    /// <summary>What became of float32 values.</summary>
    public static PrunedWeight Of(float[] before, float[] after)
    {
        double signal = 0, noise = 0;
        long cleared = 0, zeros = 0;
        for (var i = 0; i < before.Length; i++)
        {
            signal += (double)before[i] * before[i];
            noise += ((double)before[i] - after[i]) * ((double)before[i] - after[i]);
            zeros += after[i] == 0 ? 1 : 0;
            cleared += after[i] == 0 && before[i] != 0 ? 1 : 0;
        }

        return new([], before.Length, cleared, zeros, Decibels(signal, noise));
    }

    /// <summary>10·log10(signal/noise), at most 200; null without signal.</summary>
    public static double? Decibels(double signal, double noise) => signal > 0 ? noise > 0 ? Math.Min(200, 10 * Math.Log10(signal / noise)) : 200 : null;
}
