namespace ModelBuildTasks.Engine.Statistics;

/// <summary>
/// Least and greatest value and mean square of a tensor's channels over all samples. Mergeable; independent of the order of
/// samples, of their split into batches, and of threads: squares are summed in fixed point, whose addition has no rounding.
/// </summary>
internal sealed class ChannelRanges
{
    // 2^-40 is far below the rounding of a float square of usual size, and 2^87 far above any sum of them.
    private const int FractionBits = 40;

    private float[] _min = [];
    private float[] _max = [];
    private Int128[] _squares = [];
    private long _count;

    /// <summary>Whether every run had the same number of channels and only finite values of usual size.</summary>
    public bool IsValid { get; private set; } = true;

    /// <summary>Number of channels; 0 while nothing was seen.</summary>
    public int Channels => _min.Length;

    /// <summary>Least value of each channel.</summary>
    public ReadOnlySpan<float> Min => _min;

    /// <summary>Greatest value of each channel.</summary>
    public ReadOnlySpan<float> Max => _max;

    /// <summary>Adds the values of one run.</summary>
    /// <param name="values">Row-major values.</param>
    /// <param name="shape">Their dimensions.</param>
    /// <param name="axis">The channels' axis; negative counts from the end.</param>
    public void Add(ReadOnlySpan<float> values, ReadOnlySpan<long> shape, int axis)
    {
        axis = axis < 0 ? axis + shape.Length : axis;
        if (axis < 0 || axis >= shape.Length)
        {
            IsValid = false;
            return;
        }

        var channels = (int)shape[axis];
        var inner = 1;
        for (var i = axis + 1; i < shape.Length; i++)
            inner *= (int)shape[i];
        if (values.IsEmpty || !Fits(channels))
            return;
        for (var start = 0; start < values.Length; start += channels * inner)
        {
            for (var c = 0; c < channels; c++)
            {
                var (min, max, sum) = (_min[c], _max[c], 0.0);
                foreach (var value in values.Slice(start + c * inner, inner))
                {
                    min = Math.Min(min, value);
                    max = Math.Max(max, value);
                    sum += (double)value * value;
                }

                // Also false for NaN.
                if (!(sum < 1e25))
                {
                    IsValid = false;
                    return;
                }

                (_min[c], _max[c]) = (min, max);
                _squares[c] += (Int128)Math.Round(Math.ScaleB(sum, FractionBits));
            }
        }

        _count += values.Length / channels;
    }

    /// <summary>Adds what another observer saw.</summary>
    public void Merge(ChannelRanges other)
    {
        IsValid &= other.IsValid;
        if (other.Channels == 0 || !Fits(other.Channels))
            return;
        for (var c = 0; c < _min.Length; c++)
        {
            _min[c] = Math.Min(_min[c], other._min[c]);
            _max[c] = Math.Max(_max[c], other._max[c]);
            _squares[c] += other._squares[c];
        }

        _count += other._count;
    }

    /// <summary>The mean square of each channel; empty while nothing was seen or where <see cref="IsValid"/> is false.</summary>
    public double[] MeanSquares() => !IsValid || _count == 0 ? [] : [.. _squares.Select(s => Math.ScaleB((double)s, -FractionBits) / _count)];

    /// <summary>The sums of squares in units of 2^-40 and how many values each holds.</summary>
    internal (ReadOnlyMemory<Int128> Squares, long Count) Content => (_squares, _count);

    /// <summary>Makes empty ranges what others were.</summary>
    internal void Restore(bool valid, float[] min, float[] max, Int128[] squares, long count) =>
        (IsValid, _min, _max, _squares, _count) = (valid, min, max, squares, count);

    private bool Fits(int channels)
    {
        if (_min.Length == 0)
        {
            _min = new float[channels];
            _max = new float[channels];
            _squares = new Int128[channels];
            Array.Fill(_min, float.PositiveInfinity);
            Array.Fill(_max, float.NegativeInfinity);
        }

        return IsValid &= _min.Length == channels;
    }
}
