namespace ModelBuildTasks.Engine.Statistics;

/// <summary>
/// Means of a tensor's channels over all samples. Sums are kept in fixed point, whose addition has no rounding: the result does
/// not depend on the order of samples, on their split into batches, or on threads.
/// </summary>
internal sealed class ChannelSums
{
    // 2^-60 is far below the rounding of a float sum, and 2^67 far above any activation.
    private const int FractionBits = 60;

    private Int128[] _sums = [];
    private long _count;

    /// <summary>Whether every run had the same number of channels and only finite values of usual size.</summary>
    public bool IsValid { get; private set; } = true;

    /// <summary>Number of channels.</summary>
    public int Channels => _sums.Length;

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
                double sum = 0;
                foreach (var value in values.Slice(start + c * inner, inner))
                    sum += value;
                // Also false for NaN.
                if (!(Math.Abs(sum) < 1e18))
                {
                    IsValid = false;
                    return;
                }

                _sums[c] += (Int128)Math.Round(Math.ScaleB(sum, FractionBits));
            }
        }

        _count += values.Length / channels;
    }

    /// <summary>Adds what another observer saw.</summary>
    public void Merge(ChannelSums other)
    {
        IsValid &= other.IsValid;
        if (other.Channels == 0 || !Fits(other.Channels))
            return;
        for (var c = 0; c < _sums.Length; c++)
            _sums[c] += other._sums[c];
        _count += other._count;
    }

    /// <summary>The mean of each channel; empty while nothing was seen or where <see cref="IsValid"/> is false.</summary>
    public double[] Means() => !IsValid || _count == 0 ? [] : [.. _sums.Select(s => Math.ScaleB((double)s, -FractionBits) / _count)];

    /// <summary>The sums in units of 2^-60 and how many values each holds.</summary>
    internal (ReadOnlyMemory<Int128> Sums, long Count) Content => (_sums, _count);

    /// <summary>Makes empty sums what <see cref="Content"/> and <see cref="IsValid"/> of others were.</summary>
    internal void Restore(bool valid, Int128[] sums, long count) => (IsValid, _sums, _count) = (valid, sums, count);

    private bool Fits(int channels)
    {
        if (_sums.Length == 0)
            _sums = new Int128[channels];
        return IsValid &= _sums.Length == channels;
    }
}
