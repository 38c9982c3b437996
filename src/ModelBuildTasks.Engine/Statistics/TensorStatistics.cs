using System.Numerics.Tensors;

namespace ModelBuildTasks.Engine.Statistics;

/// <summary>What was seen of one float tensor over all samples. Mergeable; independent of order and batch split.</summary>
internal sealed class TensorStatistics
{
    /// <summary>Least finite value; positive infinity while nothing was seen.</summary>
    public float Min { get; private set; } = float.PositiveInfinity;

    /// <summary>Greatest finite value; negative infinity while nothing was seen.</summary>
    public float Max { get; private set; } = float.NegativeInfinity;

    /// <summary>Whether NaN or an infinity was seen; such values are in no other figure.</summary>
    public bool HasNonFinite { get; private set; }

    /// <summary>Whether NaN was seen, which no mask puts there on purpose.</summary>
    public bool HasNaN { get; private set; }

    /// <summary>Number of axes, -1 when it differs between runs.</summary>
    public int Rank { get; private set; } = int.MinValue;

    /// <summary>Counts of the finite values.</summary>
    public Histogram Histogram { get; } = new();

    /// <summary>Means of each sample's least and greatest finite value.</summary>
    public SampleRanges Samples { get; } = new();

    /// <summary>Means of the channels, where they were asked for.</summary>
    public ChannelSums Channels { get; } = new();

    /// <summary>Ranges of the channels, where their means were asked for.</summary>
    public ChannelRanges ChannelRanges { get; } = new();

    /// <summary>Adds the values of one run.</summary>
    /// <param name="values">Row-major values.</param>
    /// <param name="rank">Number of axes.</param>
    /// <param name="samples">Samples of the run; each has an equal part of the values, one behind the other. 1 where that is not known.</param>
    public void Add(ReadOnlySpan<float> values, int rank, int samples = 1)
    {
        Rank = Rank == int.MinValue || Rank == rank ? rank : -1;
        if (values.IsEmpty)
            return;
        float least = float.PositiveInfinity, greatest = float.NegativeInfinity;
        var length = values.Length / samples;
        for (var start = 0; start < values.Length; start += length)
        {
            var sample = values.Slice(start, length);
            var (min, max) = (TensorPrimitives.Min(sample), TensorPrimitives.Max(sample));
            // Min and Max give NaN when there is one.
            if (!float.IsFinite(min) || !float.IsFinite(max))
            {
                HasNonFinite = true;
                HasNaN |= float.IsNaN(min);
                var finite = sample.ToArray().Where(float.IsFinite).ToArray();
                if (finite.Length == 0)
                    continue;
                (min, max) = (finite.Min(), finite.Max());
                Histogram.Add(finite, Math.Max(Math.Abs(min), Math.Abs(max)));
            }
            else
            {
                Histogram.Add(sample, Math.Max(Math.Abs(min), Math.Abs(max)));
            }

            Samples.Add(min, max, 1);
            (least, greatest) = (Math.Min(least, min), Math.Max(greatest, max));
        }

        Min = Math.Min(Min, least);
        Max = Math.Max(Max, greatest);
    }

    /// <summary>Adds what another observer saw.</summary>
    public void Merge(TensorStatistics other)
    {
        Min = Math.Min(Min, other.Min);
        Max = Math.Max(Max, other.Max);
        HasNonFinite |= other.HasNonFinite;
        HasNaN |= other.HasNaN;
        if (other.Rank != int.MinValue)
            Rank = Rank == int.MinValue || Rank == other.Rank ? other.Rank : -1;
        Histogram.Merge(other.Histogram);
        Samples.Merge(other.Samples);
        Channels.Merge(other.Channels);
        ChannelRanges.Merge(other.ChannelRanges);
    }

    /// <summary>Takes in another tensor that shares this one's scale. Channel means stay this tensor's.</summary>
    public void Join(TensorStatistics other)
    {
        Min = Math.Min(Min, other.Min);
        Max = Math.Max(Max, other.Max);
        HasNonFinite |= other.HasNonFinite;
        HasNaN |= other.HasNaN;
        Histogram.Merge(other.Histogram);
        Samples.Join(other.Samples);
    }

    /// <summary>Makes empty statistics what others were; their parts are restored one by one.</summary>
    internal void Restore(float min, float max, bool hasNonFinite, bool hasNaN, int rank) =>
        (Min, Max, HasNonFinite, HasNaN, Rank) = (min, max, hasNonFinite, hasNaN, rank);
}
