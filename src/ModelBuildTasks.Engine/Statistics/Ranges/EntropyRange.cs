namespace ModelBuildTasks.Engine.Statistics;

/// <summary>
/// The range whose quantized histogram diverges least from the one seen: S. Migacz, "8-bit Inference with TensorRT", GTC 2017. P is the
/// histogram within the threshold, with what lies outside added to its edge bins; Q is the histogram within the threshold, merged to
/// as many groups as there are levels and spread back evenly over each group's non-empty bins; the least KL(P ‖ Q) wins.
/// </summary>
/// <remarks>
/// The threshold bounds both signs, and each end also by what was seen, so that one-sided and lopsided data keep all levels. It goes
/// from <see cref="LeastBinsPerLevel"/> bins a level to the full range: with fewer, Q could not differ from P. Exact zeros have no
/// error in any range and are left out.
/// </remarks>
internal static class EntropyRange
{
    private const int LeastBinsPerLevel = 2;
    private const int Stride = 16;
    // The smoothing that keeps the divergence finite where Q is empty and P is not.
    private const double Floor = 1e-4;

    public static ValueRange Find(Bins bins, ValueRange full, int levels)
    {
        var width = bins.Width;
        if (width <= 0)
            return full;
        // Bins of each side; a value on an edge is in the bin that is farther from zero.
        var zero = full.Min < 0 ? (int)Math.Floor(-full.Min / width) + 1 : 0;
        var counts = new double[zero + (full.Max > 0 ? (int)Math.Floor(full.Max / width) + 1 : 0)];
        foreach (var (center, count) in bins.List)
        {
            if (center != 0)
                counts[(int)Math.Floor(center / width) + zero] += count;
        }

        var largest = Math.Max(zero, counts.Length - zero);
        var best = full;
        var least = double.PositiveInfinity;
        for (var threshold = largest; ; threshold -= Stride)
        {
            int from = Math.Max(0, zero - threshold), to = Math.Min(counts.Length, zero + threshold);
            if (to - from < LeastBinsPerLevel * levels || threshold <= 0)
                break;
            var divergence = Divergence(counts, from, to, levels);
            if (divergence < least)
            {
                least = divergence;
                best = new ValueRange((from - zero) * width, (to - zero) * width).Within(full);
            }
        }

        return best;
    }

    /// <summary>KL(P ‖ Q) in nats of the bins from..to−1 of a histogram at <paramref name="levels"/> levels.</summary>
    internal static double Divergence(ReadOnlySpan<double> counts, int from, int to, int levels)
    {
        var p = counts[from..to].ToArray();
        for (var i = 0; i < from; i++)
            p[0] += counts[i];
        for (var i = to; i < counts.Length; i++)
            p[^1] += counts[i];

        var q = new double[p.Length];
        for (var level = 0; level < levels; level++)
        {
            int start = (int)((long)level * p.Length / levels), end = (int)((long)(level + 1) * p.Length / levels);
            double sum = 0;
            var filled = 0;
            for (var i = start; i < end; i++)
            {
                sum += counts[from + i];
                // As in the source: a bin counts as filled by what P has in it, outliers included.
                filled += p[i] > 0 ? 1 : 0;
            }

            for (var i = start; i < end; i++)
                q[i] = p[i] > 0 ? sum / filled : 0;
        }

        double totalP = p.Sum(), totalQ = q.Sum();
        if (totalP <= 0 || totalQ <= 0)
            return double.PositiveInfinity;
        double divergence = 0;
        for (var i = 0; i < p.Length; i++)
        {
            if (p[i] > 0)
                divergence += p[i] / totalP * Math.Log(p[i] / totalP / Math.Max(q[i] / totalQ, Floor / p.Length));
        }

        return divergence;
    }
}
