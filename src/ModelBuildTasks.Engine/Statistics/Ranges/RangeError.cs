namespace ModelBuildTasks.Engine.Statistics;

/// <summary>What quantizing a tensor over a range costs.</summary>
internal static class RangeError
{
    /// <summary>Squared error of quantizing the histogram's values to <paramref name="levels"/> levels over a range, with zero exact.</summary>
    public static double Squared(IReadOnlyList<(double Center, long Count)> bins, ValueRange range, int levels)
    {
        var scale = range.Width / (levels - 1);
        if (scale <= 0)
            return bins.Sum(b => b.Center * b.Center * b.Count);
        var zeroPoint = Math.Round(-range.Min / scale);
        var inverse = 1 / scale;
        double low = -zeroPoint, high = levels - 1 - zeroPoint, sum = 0;
        foreach (var (center, count) in bins)
        {
            var level = Math.Min(high, Math.Max(low, Math.Round(center * inverse)));
            var error = center - level * scale;
            sum += error * error * count;
        }

        return sum;
    }

    /// <summary>
    /// The two parts of the squared error, each a mean over all values: rounding inside the range, step²/12 for each value that is not
    /// zero, and clipping outside of it. Rounding errors have no common sign; those of clipping at one end all have the same.
    /// </summary>
    public static (double Rounding, double Clipping) Parts(Bins bins, ValueRange range, int levels)
    {
        var above = bins.Above(range.Max);
        var below = bins.Below(range.Min);
        var step = range.Width / (levels - 1);
        var inside = Math.Max(0, bins.Count - bins.Zeros - above.Count - below.Count);
        var clipping = above.Second - 2 * range.Max * above.First + range.Max * range.Max * above.Count
            + below.Second - 2 * range.Min * below.First + range.Min * range.Min * below.Count;
        return (step * step / 12 * inside / bins.Count, Math.Max(0, clipping) / bins.Count);
    }
}
