using ModelBuildTasks.Engine.Manifest;

namespace ModelBuildTasks.Engine.Statistics;

/// <summary>A closed range of real values that contains zero.</summary>
internal readonly record struct ValueRange(double Min, double Max)
{
    /// <summary>The range with zero in it.</summary>
    public ValueRange WithZero() => new(Math.Min(Min, 0), Math.Max(Max, 0));
}

/// <summary>Finds a tensor's range for affine quantization from its statistics. One search serves every calibrator.</summary>
internal static class RangeSearch
{
    /// <summary>The range of <paramref name="statistics"/> under <paramref name="calibrator"/>, with zero in it.</summary>
    /// <param name="statistics">At least one finite value.</param>
    /// <param name="calibrator">How the range is found.</param>
    /// <param name="percentile">For <see cref="Calibrator.Percentile"/>: the share of values inside, in percent.</param>
    /// <param name="levels">Number of quantization levels, 256 for 8 bits.</param>
    public static ValueRange Find(TensorStatistics statistics, Calibrator calibrator, double percentile, int levels = 256)
    {
        var full = new ValueRange(statistics.Min, statistics.Max).WithZero();
        return calibrator switch
        {
            Calibrator.MinMax => full,
            Calibrator.Percentile => Percentile(statistics, full, percentile),
            _ => LeastSquares(statistics, full, levels),
        };
    }

    /// <summary>Cuts (100 - percentile)/2 percent of the values off at each end.</summary>
    private static ValueRange Percentile(TensorStatistics statistics, ValueRange full, double percentile)
    {
        var bins = statistics.Histogram.Bins();
        var half = statistics.Histogram.BinWidth / 2;
        var cut = statistics.Histogram.Count * (100 - percentile) / 200;
        var min = full.Min;
        double seen = 0;
        foreach (var (center, count) in bins)
        {
            if ((seen += count) > cut)
            {
                min = center - half;
                break;
            }
        }

        var max = full.Max;
        seen = 0;
        foreach (var (center, count) in bins.Reverse())
        {
            if ((seen += count) > cut)
            {
                max = center + half;
                break;
            }
        }

        return new ValueRange(Math.Max(min, full.Min), Math.Min(max, full.Max)).WithZero();
    }

    /// <summary>
    /// The range with the least squared error E = Σ count·(x − dequantize(quantize(x)))² over the histogram, by coordinate
    /// descent: each end in turn is tried at hundredths of the full range, then around the best one in thousandths.
    /// </summary>
    private static ValueRange LeastSquares(TensorStatistics statistics, ValueRange full, int levels)
    {
        var bins = statistics.Histogram.Bins();
        var best = full;
        var least = SquaredError(bins, best, levels);
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
                var error = SquaredError(bins, candidate, levels);
                if (error < least)
                    (least, found) = (error, candidate);
            }

            best = found;
        }
    }

    /// <summary>Squared error of quantizing the histogram's values to <paramref name="levels"/> levels over a range, with zero exact.</summary>
    internal static double SquaredError(IReadOnlyList<(double Center, long Count)> bins, ValueRange range, int levels)
    {
        var scale = (range.Max - range.Min) / (levels - 1);
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
}
