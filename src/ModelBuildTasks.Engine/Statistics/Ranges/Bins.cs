namespace ModelBuildTasks.Engine.Statistics;

/// <summary>
/// The non-empty bins of a histogram in ascending order with running sums, so that the weight and the first two moments of the
/// values on one side of a threshold cost a binary search. Every value of a bin counts as its centre.
/// </summary>
internal sealed class Bins
{
    private readonly double[] _centers;
    private readonly double[] _counts;
    private readonly double[] _first;
    private readonly double[] _second;

    public Bins(Histogram histogram)
    {
        List = histogram.Bins();
        Width = histogram.BinWidth;
        Zeros = histogram.Zeros;
        _centers = [.. List.Select(b => b.Center)];
        _counts = Running(b => b.Count);
        _first = Running(b => b.Center * b.Count);
        _second = Running(b => b.Center * b.Center * b.Count);
    }

    /// <summary>The bins; exact zeros are one of their own.</summary>
    public IReadOnlyList<(double Center, long Count)> List { get; }

    /// <summary>Width of a bin.</summary>
    public double Width { get; }

    /// <summary>Values that are exactly zero, which every range represents without error.</summary>
    public long Zeros { get; }

    /// <summary>All values.</summary>
    public double Count => _counts[^1];

    /// <summary>Σ x².</summary>
    public double Power => _second[^1];

    /// <summary>Number, sum and sum of squares of the values below <paramref name="threshold"/>.</summary>
    public (double Count, double First, double Second) Below(double threshold)
    {
        var i = Array.BinarySearch(_centers, threshold);
        i = i < 0 ? ~i : i;
        return (_counts[i], _first[i], _second[i]);
    }

    /// <summary>Number, sum and sum of squares of the values above <paramref name="threshold"/>.</summary>
    public (double Count, double First, double Second) Above(double threshold)
    {
        var i = Array.BinarySearch(_centers, threshold);
        i = i < 0 ? ~i : i + 1;
        return (_counts[^1] - _counts[i], _first[^1] - _first[i], _second[^1] - _second[i]);
    }

    private double[] Running(Func<(double Center, long Count), double> of)
    {
        var sums = new double[List.Count + 1];
        for (var i = 0; i < List.Count; i++)
            sums[i + 1] = sums[i] + of(List[i]);
        return sums;
    }
}
