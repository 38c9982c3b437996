using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Statistics;

namespace ModelBuildTasks.Engine.Passes.Quantization;

/// <summary>The range of an activation for the format that a runtime wants.</summary>
internal static class ActivationRanges
{
    /// <summary>The range under <paramref name="calibrator"/>; for symmetric formats both ends are equally far from zero.</summary>
    public static ValueRange Find(TensorStatistics statistics, ActivationFormat format, Calibrator calibrator, double percentile, bool averaged = false)
    {
        // In 16 bits a cut loses more than it gives to the rounding, and the histogram cannot resolve the rounding.
        if (format.Bits == 16 && calibrator == Calibrator.Mse)
            calibrator = Calibrator.MinMax;
        if (!format.Symmetric)
            return RangeSearch.Find(statistics, calibrator, percentile, format.Greatest - format.Least + 1, averaged);
        var full = RangeSearch.Find(statistics, calibrator == Calibrator.Mse ? Calibrator.MinMax : calibrator, percentile, averaged: averaged);
        var end = Math.Max(-full.Min, full.Max);
        return calibrator == Calibrator.Mse && end > 0 ? LeastSquares(statistics, end) : new ValueRange(-end, end);
    }

    /// <summary>The symmetric range with the least squared error on the histogram: hundredths of the full range, then thousandths.</summary>
    private static ValueRange LeastSquares(TensorStatistics statistics, double end)
    {
        var bins = statistics.Histogram.Bins();
        var (best, least) = (1000, double.PositiveInfinity);
        for (var i = 1000; i >= 20; i -= 10)
            Try(i);
        var around = best;
        for (var i = Math.Min(1000, around + 9); i >= Math.Max(20, around - 9); i--)
            Try(i);
        return Range(best);

        ValueRange Range(int thousandths) => new(-end * thousandths / 1000, end * thousandths / 1000);

        void Try(int thousandths)
        {
            var error = RangeError.Squared(bins, Range(thousandths), 255);
            if (error < least)
                (best, least) = (thousandths, error);
        }
    }
}
