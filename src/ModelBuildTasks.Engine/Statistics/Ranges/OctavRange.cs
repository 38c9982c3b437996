namespace ModelBuildTasks.Engine.Statistics;

/// <summary>
/// Optimally clipped tensors and vectors: Sakr et al., "Optimal Clipping and Magnitude-aware Differentiation for Improved
/// Quantization-aware Training", ICML 2022. The clipping scalar of B bits is the fixed point of
/// s ← E[|x|; |x| &gt; s] / (4^−B/3 · P(0 &lt; |x| ≤ s) + P(|x| &gt; s)), where the noise of clipping and of rounding balance.
/// </summary>
internal static class OctavRange
{
    private const int MaxIterations = 200;
    private const double Tolerance = 1e-7;

    /// <summary>The optimal range for affine quantization.</summary>
    /// <remarks>
    /// The paper's objective for two ends of their own is J(a, b) = (b − a)²/(12 L²)·P(a ≤ x ≤ b, x ≠ 0) + E[(x − b)²; x &gt; b] +
    /// E[(a − x)²; x &lt; a] with L levels. With k = P(inside)/(12 L²), ∂J/∂b = 0 gives b = (E[x; x &gt; b] + k·a)/(k + P(x &gt; b)), and
    /// likewise a. For a = −b it is the paper's recursion; for data of one sign the other end is 0 and 4^−B/3 becomes 4^−B/12, the noise
    /// of a step half as wide.
    /// </remarks>
    public static ValueRange Find(Bins bins, ValueRange full, int levels)
    {
        var nonZero = bins.Count - bins.Zeros;
        if (nonZero <= 0)
            return full;
        var noise = 1.0 / (12.0 * levels * levels);
        // The paper starts from the mean magnitude; each end from the mean on its side.
        var up = bins.Above(0);
        var down = bins.Below(0);
        var range = new ValueRange(down.Count > 0 ? down.First / down.Count : 0, up.Count > 0 ? up.First / up.Count : 0);
        for (var i = 0; i < MaxIterations; i++)
        {
            var (above, below) = (bins.Above(range.Max), bins.Below(range.Min));
            var inside = Math.Max(0, nonZero - above.Count - below.Count) * noise;
            var max = full.Max > 0 ? (above.First + inside * range.Min) / (inside + above.Count) : 0;
            var min = full.Min < 0 ? (below.First + inside * range.Max) / (inside + below.Count) : 0;
            var next = new ValueRange(min, max).Within(full);
            if (Math.Abs(next.Max - range.Max) + Math.Abs(next.Min - range.Min) <= Tolerance * full.Width)
                return next;
            range = next;
        }

        return range;
    }
}
