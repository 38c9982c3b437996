namespace ModelBuildTasks.Engine.Passes.Pruning.Structured.Selection;

/// <summary>A group that may be pruned: in which order its units go, and how many may.</summary>
/// <param name="Group">The group.</param>
/// <param name="Trace">Order and predicted losses.</param>
/// <param name="Counts">The numbers of units that may go, ascending, from 0.</param>
internal sealed record GroupChoice(ChannelGroup Group, RemovalTrace Trace, int[] Counts)
{
    /// <summary>What the model's outputs lose when so many units go, noise over signal: <see cref="Trace"/>, scaled to what was measured.</summary>
    public double Loss(int count) => Trace.Losses[count] * Factor(count);

    /// <summary>Measured loss over predicted, by number of units; empty where nothing was measured.</summary>
    public IReadOnlyList<(int Count, double Factor)> Factors { get; init; } = [];

    /// <summary>The first units to go.</summary>
    public IReadOnlyList<int> First(int count) => Trace.Order[..count];

    /// <summary>The numbers of units that may go.</summary>
    /// <param name="units">Units of the group.</param>
    /// <param name="must">The number left has to be a multiple of this.</param>
    /// <param name="likes">The number left is a multiple of this, too, where the group has a multiple of it now.</param>
    /// <param name="limit">The largest share that may go.</param>
    public static int[] Allowed(int units, int must, int likes, double limit)
    {
        var step = must;
        if (likes > 1 && units % likes == 0)
            step = must * likes / (int)System.Numerics.BigInteger.GreatestCommonDivisor(must, likes);
        var most = (int)Math.Min(units - 1, Math.Floor((decimal)limit * units));
        return [.. Enumerable.Range(0, most + 1).Where(k => k == 0 || (units - k) % step == 0)];
    }

    private double Factor(int count)
    {
        if (Factors.Count == 0)
            return 1;
        var (left, right) = (Factors[0], Factors[^1]);
        foreach (var point in Factors)
        {
            if (point.Count <= count)
                left = point;
            if (point.Count >= count)
            {
                right = point;
                break;
            }
        }

        if (right.Count <= left.Count)
            return count <= Factors[0].Count ? Factors[0].Factor : left.Factor;
        var share = (double)(count - left.Count) / (right.Count - left.Count);
        // Factors are ratios: what is between them is between their logarithms.
        return Math.Exp((1 - share) * Math.Log(left.Factor) + share * Math.Log(right.Factor));
    }
}
