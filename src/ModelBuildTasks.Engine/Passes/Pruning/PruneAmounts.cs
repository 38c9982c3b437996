using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Passes.Pruning.Methods;

namespace ModelBuildTasks.Engine.Passes.Pruning;

/// <summary>How many values of each weight become zero.</summary>
internal static class PruneAmounts
{
    /// <summary>The same share of each.</summary>
    public static long[] Uniform(IReadOnlyList<PrunableWeight> weights, double amount) => [.. weights.Select(w => Share(w, amount))];

    /// <summary>
    /// One threshold on scores, each weight's divided by their mean, such that all weights together lose what they would lose at the same share of each.
    /// No weight loses more than the limit.
    /// </summary>
    public static long[] Global(IReadOnlyList<PrunableWeight> weights, LayerSource source, PrunePlan plan, double limit)
    {
        // Scores are counted by their first bits: 128 steps for a factor of two.
        var counts = weights.Select(w => Histogram(source.Open(w), plan.Method)).ToArray();
        var wanted = Uniform(weights, plan.Amount).Sum();
        var caps = weights.Select(w => Share(w, limit)).ToArray();
        var (low, high) = (0, Bins);
        while (low < high)
        {
            var middle = (low + high) / 2;
            if (Below(middle + 1).Sum() >= wanted)
                high = middle;
            else
                low = middle + 1;
        }

        // What the last step has too much is given back by all in proportion.
        var (before, after) = (Below(low), Below(low + 1));
        var (step, rest) = (after.Sum() - before.Sum(), wanted - before.Sum());
        return [.. before.Zip(after, (b, a) => step > 0 ? b + (long)((Int128)(a - b) * rest / step) : b)];

        long[] Below(int bin) => [.. counts.Select((c, i) => Math.Min(caps[i], c[Math.Min(bin, Bins)]))];
    }

    /// <summary>floor(amount·count) values of a weight. In decimal, 29 % of 100 is 29; in double it would be 28.999…</summary>
    public static long Share(PrunableWeight weight, double amount) => (long)Math.Floor((decimal)amount * weight.Count);

    private const int Bins = 1 << 16;

    // At [b] the number of scores in the bins before b. Weights that go as one have one score.
    private static long[] Histogram(SparseLayer layer, PruneMethod method)
    {
        var by = layer.HasData && method is not PruneMethod.Magnitude ? PruneMethod.Wanda : PruneMethod.Magnitude;
        var scores = ScoreMask.Units(layer, ScoreMask.Scores(layer, by));
        var mean = scores.Average();
        var size = layer.Shape.Rows * layer.Shape.Columns;
        var counts = new long[Bins + 1];
        foreach (var score in scores)
            counts[(BitConverter.SingleToUInt32Bits((float)(mean > 0 ? score / mean : 0)) >> 16) + 1] += size;
        for (var b = 1; b < counts.Length; b++)
            counts[b] += counts[b - 1];
        return counts;
    }
}
