namespace ModelBuildTasks.Engine.Statistics;

/// <summary>
/// Counts of values in bins of equal width on both sides of zero, for ranges that are not known beforehand. The width is a
/// power of two, the smallest whose bins hold the largest magnitude seen; when a larger value comes, pairs of bins are added
/// up. So the result depends only on the values, not on their order, their split into batches, or the order of merging.
/// </summary>
internal sealed class Histogram
{
    /// <summary>Bins on each side of zero. 2^12 leaves at least 8 bins for each of 256 quantization steps.</summary>
    public const int BinsPerSide = 1 << 12;

    // Bin BinsPerSide + i holds [i, i+1) widths, bin BinsPerSide - 1 - i holds (-(i+1), -i] widths without zero.
    private readonly long[] _counts = new long[2 * BinsPerSide];
    private int _exponent = int.MinValue;

    /// <summary>Width of a bin; 0 while only zeros were seen.</summary>
    public double BinWidth => _exponent == int.MinValue ? 0 : Math.ScaleB(1.0, _exponent);

    /// <summary>Values that were exactly zero.</summary>
    public long Zeros { get; private set; }

    /// <summary>All values counted.</summary>
    public long Count { get; private set; }

    /// <summary>Adds finite values whose largest magnitude is <paramref name="largest"/>.</summary>
    public void Add(ReadOnlySpan<float> values, float largest)
    {
        Count += values.Length;
        if (largest == 0)
        {
            Zeros += values.Length;
            return;
        }

        Widen(largest);
        // A power of two: the product is exact unless it leaves the range of normal numbers, hence double.
        var inverse = Math.ScaleB(1.0, -_exponent);
        long zeros = 0;
        foreach (var value in values)
        {
            if (value == 0)
            {
                zeros++;
                continue;
            }

            var bin = (int)(Math.Abs((double)value) * inverse);
            _counts[value > 0 ? BinsPerSide + bin : BinsPerSide - 1 - bin]++;
        }

        Zeros += zeros;
    }

    /// <summary>Adds the counts of another histogram.</summary>
    public void Merge(Histogram other)
    {
        Count += other.Count;
        Zeros += other.Zeros;
        if (other._exponent == int.MinValue)
            return;
        if (_exponent < other._exponent)
            WidenTo(other._exponent);
        var shift = Math.Min(31, _exponent - other._exponent);
        for (var i = 0; i < BinsPerSide; i++)
        {
            _counts[BinsPerSide + (i >> shift)] += other._counts[BinsPerSide + i];
            _counts[BinsPerSide - 1 - (i >> shift)] += other._counts[BinsPerSide - 1 - i];
        }
    }

    /// <summary>The non-empty bins in ascending order: the bin's centre and its count. Exact zeros are a bin of their own.</summary>
    public IReadOnlyList<(double Center, long Count)> Bins()
    {
        var bins = new List<(double, long)>();
        var width = BinWidth;
        for (var i = 0; i < BinsPerSide; i++)
            Take(i, i - BinsPerSide + 0.5);
        if (Zeros > 0)
            bins.Add((0, Zeros));
        for (var i = BinsPerSide; i < _counts.Length; i++)
            Take(i, i - BinsPerSide + 0.5);
        return bins;

        void Take(int index, double center)
        {
            if (_counts[index] > 0)
                bins.Add((center * width, _counts[index]));
        }
    }

    private void Widen(float largest)
    {
        // The smallest exponent with largest / 2^exponent < BinsPerSide.
        var exponent = Math.ILogB(largest) + 1 - System.Numerics.BitOperations.Log2(BinsPerSide);
        if (exponent > _exponent)
            WidenTo(exponent);
    }

    private void WidenTo(int exponent)
    {
        if (_exponent != int.MinValue)
        {
            var shift = Math.Min(31, exponent - _exponent);
            for (var i = 0; i < BinsPerSide; i++)
            {
                Move(BinsPerSide + i, BinsPerSide + (i >> shift));
                Move(BinsPerSide - 1 - i, BinsPerSide - 1 - (i >> shift));
            }
        }

        _exponent = exponent;
    }

    private void Move(int from, int to)
    {
        if (from == to)
            return;
        _counts[to] += _counts[from];
        _counts[from] = 0;
    }
}
