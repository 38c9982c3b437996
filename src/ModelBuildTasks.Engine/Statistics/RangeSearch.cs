using ModelBuildTasks.Engine.Manifest;

namespace ModelBuildTasks.Engine.Statistics;

/// <summary>A range that a calibrator gives.</summary>
/// <param name="Calibrator">The calibrator; of several with the same range the first in <see cref="RangeSearch.Candidates"/>.</param>
/// <param name="Range">The range, with zero in it.</param>
/// <param name="PredictedError">What <see cref="RangeSearch.PredictedError"/> says of it: smaller is better.</param>
internal sealed record RangeCandidate(Calibrator Calibrator, ValueRange Range, double PredictedError);

/// <summary>Finds a tensor's range for affine quantization from its statistics. One search serves every calibrator.</summary>
internal static class RangeSearch
{
    /// <summary>The calibrators that stand for themselves, in the order in which they win ties.</summary>
    private static readonly Calibrator[] Single =
        [Calibrator.MinMax, Calibrator.Mse, Calibrator.Percentile, Calibrator.MeanMinMax, Calibrator.Entropy, Calibrator.Octav];

    /// <summary>The range of <paramref name="statistics"/> under <paramref name="calibrator"/>, with zero in it.</summary>
    /// <param name="statistics">At least one finite value.</param>
    /// <param name="calibrator">How the range is found; <see cref="Calibrator.Auto"/> takes the candidate of the least predicted error.</param>
    /// <param name="percentile">For <see cref="Calibrator.Percentile"/>: the share of values inside, in percent.</param>
    /// <param name="levels">Number of quantization levels, 256 for 8 bits.</param>
    /// <param name="averaged">Whether a mean of many of the tensor's values is taken; see <see cref="PredictedError"/>.</param>
    public static ValueRange Find(TensorStatistics statistics, Calibrator calibrator, double percentile = DefaultPercentile, int levels = 256, bool averaged = false)
    {
        if (calibrator == Calibrator.MinMax)
            return Full(statistics);
        if (calibrator != Calibrator.Auto)
            return Find(statistics, new Bins(statistics.Histogram), calibrator, percentile, levels);
        return Candidates(statistics, levels, percentile, averaged).MinBy(c => c.PredictedError)!.Range;
    }

    /// <summary>Share of values inside the range of <see cref="Calibrator.Percentile"/> where none is given, in percent.</summary>
    public const double DefaultPercentile = 99.999;

    /// <summary>The distinct ranges of all calibrators, for a search that tries them at the output. Ranges within a thousandth of each other count as one.</summary>
    public static IReadOnlyList<RangeCandidate> Candidates(TensorStatistics statistics, int levels = 256, double percentile = DefaultPercentile, bool averaged = false)
    {
        var bins = new Bins(statistics.Histogram);
        var found = new List<RangeCandidate>();
        foreach (var calibrator in Single)
        {
            var range = Find(statistics, bins, calibrator, percentile, levels);
            var near = range.Width * 1e-3;
            if (!found.Exists(f => Math.Abs(f.Range.Min - range.Min) <= near && Math.Abs(f.Range.Max - range.Max) <= near))
                found.Add(new(calibrator, range, PredictedError(bins, range, levels, averaged)));
        }

        return found;
    }

    /// <summary>
    /// Error of quantizing over a range as an operator that reads the tensor feels it, relative to Σx²: the squared error, or, where a
    /// mean over many values is taken, what is left of it. A mean averages rounding away and keeps what clipping takes, because
    /// clipping moves all values of one end in the same direction.
    /// </summary>
    internal static double PredictedError(Bins bins, ValueRange range, int levels, bool averaged)
    {
        var power = Math.Max(bins.Power, double.Epsilon);
        if (!averaged)
            return RangeError.Squared(bins.List, range, levels) / power;
        var (rounding, clipping) = RangeError.Parts(bins, range, levels);
        return (rounding / AveragedValues + clipping) * bins.Count / power;
    }

    // A global pool of 7 by 7, the smallest that is usual, takes this much of the rounding's variance.
    private const int AveragedValues = 49;

    private static ValueRange Full(TensorStatistics statistics) => new ValueRange(statistics.Min, statistics.Max).WithZero();

    private static ValueRange Find(TensorStatistics statistics, Bins bins, Calibrator calibrator, double percentile, int levels)
    {
        var full = Full(statistics);
        return calibrator switch
        {
            Calibrator.MinMax => full,
            Calibrator.MeanMinMax => statistics.Samples.Mean()?.Within(full) ?? full,
            Calibrator.Percentile => PercentileRange.Find(bins, full, percentile),
            Calibrator.Entropy => EntropyRange.Find(bins, full, levels),
            Calibrator.Mse => LeastSquaresRange.Find(bins, full, levels),
            Calibrator.Octav => OctavRange.Find(bins, full, levels),
            _ => throw new ArgumentOutOfRangeException(nameof(calibrator), calibrator, "no calibrator of its own"),
        };
    }
}
