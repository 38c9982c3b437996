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

    /// <summary>Number of axes, -1 when it differs between runs.</summary>
    public int Rank { get; private set; } = int.MinValue;

    /// <summary>Counts of the finite values.</summary>
    public Histogram Histogram { get; } = new();

    /// <summary>Means of the channels, where they were asked for.</summary>
    public ChannelSums Channels { get; } = new();

    /// <summary>Adds the values of one run.</summary>
    public void Add(ReadOnlySpan<float> values, int rank)
    {
        Rank = Rank == int.MinValue || Rank == rank ? rank : -1;
        if (values.IsEmpty)
            return;
        var min = TensorPrimitives.Min(values);
        var max = TensorPrimitives.Max(values);
        // Min and Max give NaN when there is one.
        if (!float.IsFinite(min) || !float.IsFinite(max))
        {
            HasNonFinite = true;
            var finite = values.ToArray().Where(float.IsFinite).ToArray();
            if (finite.Length > 0)
                Add(finite, rank);
            return;
        }

        Min = Math.Min(Min, min);
        Max = Math.Max(Max, max);
        Histogram.Add(values, Math.Max(Math.Abs(min), Math.Abs(max)));
    }

    /// <summary>Adds what another observer saw.</summary>
    public void Merge(TensorStatistics other)
    {
        Min = Math.Min(Min, other.Min);
        Max = Math.Max(Max, other.Max);
        HasNonFinite |= other.HasNonFinite;
        if (other.Rank != int.MinValue)
            Rank = Rank == int.MinValue || Rank == other.Rank ? other.Rank : -1;
        Histogram.Merge(other.Histogram);
        Channels.Merge(other.Channels);
    }
}
