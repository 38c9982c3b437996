namespace ModelBuildTasks.Engine.Statistics;

/// <summary>
/// Means of the least and of the greatest value of each sample of a tensor. Sums are kept in fixed point, whose addition has no
/// rounding: the result does not depend on the order of samples, on their split into batches, or on threads.
/// </summary>
internal sealed class SampleRanges
{
    // As in ChannelSums: far below a float's rounding, and with room for any usual activation.
    private const int FractionBits = 60;
    private const float Largest = 1e12f;

    private List<Sums> _members = [];

    /// <summary>The sums of one tensor; several where tensors were joined.</summary>
    /// <param name="Min">Σ min over the samples, times 2^60.</param>
    /// <param name="Max">Σ max over the samples, times 2^60.</param>
    /// <param name="Count">Samples; 0 when a value was too large for the sums.</param>
    internal readonly record struct Sums(Int128 Min, Int128 Max, long Count);

    /// <summary>Whether every extreme was of usual size, so that the sums hold.</summary>
    public bool IsValid { get; private set; } = true;

    /// <summary>The sums, one a joined tensor.</summary>
    internal IReadOnlyList<Sums> Members => _members;

    /// <summary>Counts samples that share the extremes <paramref name="min"/> and <paramref name="max"/>.</summary>
    public void Add(float min, float max, long samples)
    {
        if (!(Math.Abs(min) <= Largest && Math.Abs(max) <= Largest))
        {
            IsValid = false;
            return;
        }

        Add(new Sums(Fixed(min) * samples, Fixed(max) * samples, samples));
    }

    /// <summary>Adds what another observer saw of the same tensor.</summary>
    public void Merge(SampleRanges other)
    {
        IsValid &= other.IsValid;
        foreach (var sums in other._members)
            Add(sums);
    }

    /// <summary>Takes in another tensor that shares this one's scale: the means stay apart, and the widest counts.</summary>
    public void Join(SampleRanges other)
    {
        IsValid &= other.IsValid;
        _members = [.. _members, .. other._members];
    }

    /// <summary>The mean least and greatest value of a sample; of joined tensors, what holds each of their means. Null while there is none.</summary>
    public ValueRange? Mean() => !IsValid || _members.Count == 0 ? null : new(_members.Min(s => Mean(s.Min, s.Count)), _members.Max(s => Mean(s.Max, s.Count)));

    /// <summary>Sums as they were once read from <see cref="Members"/>.</summary>
    internal void Restore(bool valid, Sums sums)
    {
        IsValid = valid;
        _members = [sums];
    }

    private void Add(Sums sums)
    {
        if (_members.Count == 0)
            _members.Add(sums);
        else
            _members[0] = new(_members[0].Min + sums.Min, _members[0].Max + sums.Max, _members[0].Count + sums.Count);
    }

    private static Int128 Fixed(float value) => (Int128)Math.ScaleB((double)value, FractionBits);

    private static double Mean(Int128 sum, long count) => Math.ScaleB((double)sum, -FractionBits) / count;
}
