using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Quantization.Search;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured.Selection;

/// <summary>
/// Measures what the outputs lose when a group is pruned alone, at a few points of its trace. Predicted losses are those of the next layer;
/// how much of them reaches the outputs differs from group to group by orders of magnitude.
/// </summary>
internal static class LossProbe
{
    // Shares of the units that may go at which it is measured.
    private static readonly double[] _shares = [0.2, 0.5, 0.9];

    // What measuring may compute, in multiply-accumulates of the model.
    private const double Budget = 4e11;
    private const int LeastBatches = 4;
    private const int MostBatches = 32;
    private const int MostStreamBatches = 128;

    /// <summary>A probe with as many batches as can be run so often.</summary>
    /// <param name="model">The model.</param>
    /// <param name="data">The data.</param>
    /// <param name="macs">Multiply-accumulates of a sample.</param>
    /// <param name="runs">How many models are going to be run on it.</param>
    public static OutputProbe Open(OnnxModel model, IDataset data, double macs, int runs) =>
        OutputProbe.Open(model, data, (int)Math.Clamp(Budget / macs / runs, LeastBatches, data.Feedback.Count > 0 ? MostStreamBatches : MostBatches));

    /// <summary>The groups with their factors.</summary>
    /// <param name="choices">The groups.</param>
    /// <param name="pruned">Makes the models.</param>
    /// <param name="probe">Runs them.</param>
    /// <param name="threads">Runs at the same time.</param>
    /// <param name="progress">Told the share of work done.</param>
    public static IReadOnlyList<GroupChoice> Measure(IReadOnlyList<GroupChoice> choices, PrunedModel pruned, OutputProbe probe, int threads, Action<double>? progress)
    {
        var points = choices.SelectMany((c, i) => Points(c).Select(count => (Choice: i, Count: count))).ToList();
        var factors = new double[points.Count];
        var done = 0;
        Parallel.For(0, points.Count, new ParallelOptions { MaxDegreeOfParallelism = Math.Max(1, threads) }, p =>
        {
            var (c, count) = points[p];
            var choice = choices[c];
            var noise = probe.Noise(pruned.Equivalent(new Dictionary<int, IReadOnlyList<int>> { [choice.Group.Id] = choice.First(count) })) / probe.Power;
            var predicted = choice.Trace.Losses[count];
            factors[p] = predicted > 0 ? Math.Clamp(noise / predicted, 1e-9, 1e9) : 1;
            progress?.Invoke((double)Interlocked.Increment(ref done) / points.Count);
        });
        return [.. choices.Select((c, i) => c with { Factors = [.. points.Select((p, at) => (p, at)).Where(x => x.p.Choice == i).Select(x => (x.p.Count, factors[x.at]))] })];
    }

    private static IEnumerable<int> Points(GroupChoice choice)
    {
        int[] counts = [.. choice.Counts.Where(k => k > 0)];
        return counts.Length == 0 ? [] : _shares.Select(s => counts[(int)Math.Round(s * (counts.Length - 1))]).Distinct();
    }
}
