using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Passes.Pruning.Methods;

namespace ModelBuildTasks.Engine.Passes.Pruning;

/// <summary>
/// Spreads zeros where the model's outputs lose least by them. For each weight the loss of its own outputs is predicted at some amounts; how much of that
/// reaches the model's outputs is measured at one of them; and steps are taken, the cheapest for a zero first.
/// </summary>
/// <param name="source">Opens layers.</param>
/// <param name="plan">What is asked for.</param>
/// <param name="probe">Measures at the model's outputs.</param>
/// <param name="progress">Told the share of weights done.</param>
internal sealed class LossAllocation(LayerSource source, PrunePlan plan, PruneProbe probe, Action<double>? progress)
{
    private static readonly double[] _shares = [0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95];

    private const double Most = 1e30;

    /// <summary>How many values of each weight become zero; those whose inputs are not known lose the same share each.</summary>
    /// <param name="weights">The weights.</param>
    /// <param name="limit">The largest share of one weight.</param>
    public long[] Choose(IReadOnlyList<PrunableWeight> weights, double limit)
    {
        var uniform = PruneAmounts.Uniform(weights, plan.Amount);
        var result = (long[])uniform.Clone();
        var known = Enumerable.Range(0, weights.Count).Where(i => source.HasData(weights[i])).ToList();
        var hulls = new List<(long Clear, double Loss)>[weights.Count];
        for (var i = 0; i < known.Count; i++)
        {
            hulls[known[i]] = Hull(Curve(weights[known[i]], limit));
            progress?.Invoke((i + 1.0) / known.Count);
        }

        var left = known.Sum(i => uniform[i]);
        var queue = new PriorityQueue<int, (double, int)>();
        var next = new int[weights.Count];
        foreach (var i in known)
        {
            result[i] = 0;
            Offer(i);
        }

        while (left > 0 && queue.TryDequeue(out var i, out _))
        {
            var step = Math.Min(left, hulls[i][next[i]].Clear - hulls[i][next[i] - 1].Clear);
            result[i] += step;
            left -= step;
            Offer(i);
        }

        return result;

        void Offer(int i)
        {
            if (++next[i] >= hulls[i].Count)
                return;
            var (from, to) = (hulls[i][next[i] - 1], hulls[i][next[i]]);
            queue.Enqueue(i, ((to.Loss - from.Loss) / (to.Clear - from.Clear), i));
        }
    }

    /// <summary>The losses at the model's outputs for some numbers of zeros.</summary>
    private List<(long Clear, double Loss)> Curve(PrunableWeight weight, double limit)
    {
        var layer = source.Open(weight);
        List<double> shares = [.. _shares.Where(s => s < limit), limit];
        var curve = new List<(long, double)> { (0, 0) };
        (double Loss, float[] Values) measured = default;
        var least = double.PositiveInfinity;
        foreach (var share in shares)
        {
            var clear = PruneAmounts.Share(weight, share);
            if (clear <= curve[^1].Item1)
                continue;
            var result = Try(layer, clear);
            curve.Add((clear, result.Loss!.Value));
            // Of a small layer there may be no point at the amount itself.
            if (result.Loss > 0 && Math.Abs(share - plan.Amount) < least)
                (least, measured) = (Math.Abs(share - plan.Amount), (result.Loss.Value, result.Values));
        }

        // What makes outputs infinite, or no numbers, comes last; infinity times a loss of zero would come first.
        var reach = measured.Values is null ? 0 : probe.Noise([(weight, layer.Values, measured.Values)]) / measured.Loss;
        reach = reach < Most ? reach : Most;
        return [.. curve.Select(c => (c.Item1, c.Item2 * reach))];
    }

    /// <summary>What pruning makes of a weight, as far as that is soon known: the loss of one sweep with a fit behind it has the course of that of the best search (without the fit it has not: an allocation by it is 2 dB worse).</summary>
    public LayerResult Try(SparseLayer layer, long clear) =>
        LayerPruning.Prune(layer, plan.Method is PruneMethod.Magnitude or PruneMethod.Wanda ? plan.Method : PruneMethod.SparseGpt, plan.Repair, clear, obsCost: 0);

    /// <summary>The points of a curve that no straight line between two others is below.</summary>
    private static List<(long Clear, double Loss)> Hull(List<(long Clear, double Loss)> curve)
    {
        var hull = new List<(long Clear, double Loss)>();
        foreach (var point in curve)
        {
            while (hull.Count > 1 && (hull[^1].Loss - hull[^2].Loss) * (point.Clear - hull[^2].Clear) >= (point.Loss - hull[^2].Loss) * (hull[^1].Clear - hull[^2].Clear))
                hull.RemoveAt(hull.Count - 1);
            hull.Add(point);
        }

        return hull;
    }
}
