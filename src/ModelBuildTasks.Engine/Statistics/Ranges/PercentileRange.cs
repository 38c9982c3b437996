namespace ModelBuildTasks.Engine.Statistics;

/// <summary>Cuts the same share of values off at each end.</summary>
internal static class PercentileRange
{
    /// <summary>The range without (100 − percentile)/2 percent of the values at each end, to the width of a bin.</summary>
    public static ValueRange Find(Bins bins, ValueRange full, double percentile)
    {
        var half = bins.Width / 2;
        var cut = bins.Count * (100 - percentile) / 200;
        var min = full.Min;
        double seen = 0;
        foreach (var (center, count) in bins.List)
        {
            if ((seen += count) > cut)
            {
                min = center - half;
                break;
            }
        }

        var max = full.Max;
        seen = 0;
        foreach (var (center, count) in bins.List.Reverse())
        {
            if ((seen += count) > cut)
            {
                max = center + half;
                break;
            }
        }

        return new ValueRange(min, max).Within(full);
    }
}
