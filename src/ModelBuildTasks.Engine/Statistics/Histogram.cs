using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

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
    // Behind the bins is room for the zeros of a vector.
    private readonly long[] _counts = new long[2 * BinsPerSide + Vector256<int>.Count];
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
        var done = CountVectors(values);
        // A power of two: the product is exact unless it leaves the range of normal numbers, hence double.
        var inverse = Math.ScaleB(1.0, -_exponent);
        foreach (var value in values[done..])
        {
            if (value == 0)
            {
                Zeros++;
                continue;
            }

            var bin = (int)(Math.Abs((double)value) * inverse);
            _counts[value > 0 ? BinsPerSide + bin : BinsPerSide - 1 - bin]++;
        }
    }

    /// <summary>Counts whole vectors from the start, and returns how many values that were.</summary>
    private int CountVectors(ReadOnlySpan<float> values)
    {
        // The factor must be a normal float. Then a product that is not exact is below the least normal number, which is bin 0 either way.
        if (!Vector256.IsHardwareAccelerated || _exponent is < -126 or > 126)
            return 0;
        var inverse = Vector256.Create((float)Math.ScaleB(1.0, -_exponent));
        var offset = Vector256.Create(BinsPerSide);
        // Zeros go to slots behind the bins, one a lane: the increments of a run of zeros then do not wait for each other.
        var zeroSlots = Vector256.Create(2 * BinsPerSide) + Vector256<int>.Indices;
        Span<int> bins = stackalloc int[Vector256<int>.Count];
        ref var counts = ref MemoryMarshal.GetArrayDataReference(_counts);
        var vectors = MemoryMarshal.Cast<float, Vector256<float>>(values);
        foreach (var vector in vectors)
        {
            var bin = Vector256.ConvertToInt32Native(Vector256.Abs(vector) * inverse);
            // −1 for negative values: BinsPerSide − 1 − bin is BinsPerSide + ~bin.
            var negative = vector.AsInt32() >> 31;
            var zero = Vector256.Equals(vector, Vector256<float>.Zero).AsInt32();
            Vector256.ConditionalSelect(zero, zeroSlots, offset + (bin ^ negative)).CopyTo(bins);
            foreach (var index in bins)
                Unsafe.Add(ref counts, index)++;
        }

        var zeros = _counts.AsSpan(2 * BinsPerSide);
        foreach (var count in zeros)
            Zeros += count;
        zeros.Clear();
        return vectors.Length * Vector256<float>.Count;
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
        for (var i = BinsPerSide; i < 2 * BinsPerSide; i++)
            Take(i, i - BinsPerSide + 0.5);
        return bins;

        void Take(int index, double center)
        {
            if (_counts[index] > 0)
                bins.Add((center * width, _counts[index]));
        }
    }

    /// <summary>The exponent of the bins' width, null while only zeros were seen, and the counts of all bins from the least on.</summary>
    internal (int? Exponent, ReadOnlyMemory<long> Counts) Content => (_exponent == int.MinValue ? null : _exponent, _counts.AsMemory(0, 2 * BinsPerSide));

    /// <summary>Makes an empty histogram what <see cref="Content"/> and <see cref="Zeros"/> of another were.</summary>
    internal void Restore(int? exponent, ReadOnlySpan<long> counts, long zeros)
    {
        _exponent = exponent ?? int.MinValue;
        counts.CopyTo(_counts);
        Zeros = zeros;
        Count = zeros;
        foreach (var count in counts)
            Count = checked(Count + count);
    }

    private void Widen(float largest)
    {
        // The smallest exponent with largest / 2^exponent < BinsPerSide.
        var exponent = Math.ILogB(largest) + 1 - BitOperations.Log2(BinsPerSide);
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
