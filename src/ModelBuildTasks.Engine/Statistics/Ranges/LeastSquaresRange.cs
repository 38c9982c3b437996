namespace ModelBuildTasks.Engine.Statistics;

/// <summary>The range with the least squared error E = Σ count·(x − dequantize(quantize(x)))² over the histogram.</summary>
internal static class LeastSquaresRange
{
    /// <summary>
    /// Coordinate descent: each end in turn is tried at fiftieths of the full range, then around the best one in four-hundredths.
    /// </summary>
    public static ValueRange Find(Bins bins, ValueRange full, int levels)
    {
        var best = full;
        var least = RangeError.Squared(bins.List, best, levels);
        for (var round = 0; round < 3; round++)
        {
            var before = best;
            foreach (var step in (ReadOnlySpan<double>)[0.02, 0.0025])
            {
                if (full.Max > 0)
                    Search(step, fraction => best with { Max = full.Max * fraction }, best.Max / full.Max);
                if (full.Min < 0)
                    Search(step, fraction => best with { Min = full.Min * fraction }, best.Min / full.Min);
            }

            if (best == before)
                break;
        }

        return best;

        void Search(double step, Func<double, ValueRange> make, double around)
        {
            var coarse = step > 0.01;
            var from = coarse ? 0.02 : Math.Max(step, around - 8 * step);
            var to = coarse ? 1.0 : Math.Min(1.0, around + 8 * step);
            var count = (int)Math.Round((to - from) / step);
            var found = best;
            for (var i = 0; i <= count; i++)
            {
                var candidate = make(Math.Min(1, from + i * step));
                var error = RangeError.Squared(bins.List, candidate, levels);
                if (error < least)
                    (least, found) = (error, candidate);
            }

            best = found;
        }
    }
}
