using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Statistics;

namespace ModelBuildTasks.Engine.Passes.Quantization.Search;

/// <summary>
/// Chooses the ranges of the activations that make the most error by trying wider ones at the model's outputs: what a cut costs and what
/// coarser steps cost depends on what becomes of the value behind, which its own distribution does not tell.
/// </summary>
internal sealed class RangeRefinement(Calibration calibration, NoiseTable noise, QuantizePlan plan)
{
    // Groups below this share of the whole error are not worth a trial.
    private const double LeastShare = 0.01;
    private const int MostGroups = 24;

    private static readonly Calibrator[] Others = [Calibrator.Percentile, Calibrator.MeanMinMax, Calibrator.Entropy, Calibrator.Octav];

    private readonly HashSet<string> _done = [];
    private readonly Dictionary<string, AffineParameters> _before = [];

    /// <summary>Tries ranges for the groups of an assignment that were not tried before.</summary>
    /// <returns>Whether a range changed: the assignment has to be formed anew.</returns>
    public bool Refine(Assignment assignment)
    {
        var groups = assignment.Sources.OfType<ActivationNoise>()
            .GroupBy(s => assignment.Part!.Groups.Group(s.Value).Key)
            .Select(g => (Sources: g.ToList(), Noise: g.Sum(s => noise[s])))
            .Where(g => !_done.Contains(assignment.Part!.Groups.Group(g.Sources[0].Value).Key))
            .OrderByDescending(g => g.Noise)
            .ToList();
        var total = assignment.Sources.Sum(s => noise[s]);
        var trials = new List<(string Key, AffineParameters Parameters, ActivationNoise[] Sources)>();
        foreach (var (sources, _) in groups.Where(g => g.Noise > LeastShare * total).Take(MostGroups))
        {
            var (key, statistics, bound, isFixed) = assignment.Part!.Groups.Group(sources[0].Value);
            _done.Add(key);
            if (isFixed)
                continue;
            // What is there now stands first, also where a candidate equals it.
            // Nothing narrower: what a narrower range gains on the few batches it loses on data that reaches farther.
            var present = sources[0].Parameters;
            foreach (var parameters in Candidates(statistics, bound, assignment.Part.Groups.FormatOf(sources[0].Value)).Where(p => p.Scale > present.Scale).Prepend(present).Distinct())
                trials.Add((key, parameters, [.. sources.Select(s => s with { Parameters = parameters })]));
        }

        _before.Clear();
        trials = Best(trials);
        var measured = noise.Each([.. trials.Select(t => t.Sources)]);
        foreach (var group in trials.Zip(measured).GroupBy(t => t.First.Key))
        {
            var best = group.MinBy(t => t.Second);
            var now = group.First();
            // A small difference on a few batches is chance.
            if (best.Second < 0.9 * now.Second)
            {
                _before[group.Key] = now.First.Parameters;
                calibration.Fix(group.Key, best.First.Parameters);
            }
        }

        return _before.Count > 0;
    }

    /// <summary>The two best ranges of each group on a part of the batches, behind the one it has.</summary>
    private List<(string Key, AffineParameters Parameters, ActivationNoise[] Sources)> Best(List<(string Key, AffineParameters Parameters, ActivationNoise[] Sources)> trials)
    {
        var batches = (noise.Batches + 2) / 3;
        if (batches >= noise.Batches)
            return trials;
        var rough = noise.Rough([.. trials.Select(t => t.Sources)], batches);
        return [.. trials.Zip(rough).GroupBy(t => t.First.Key)
            .SelectMany(g => g.Skip(1).OrderBy(t => t.Second).Take(2).Select(t => t.First).Prepend(g.First().First))];
    }

    /// <summary>Takes back what the last refinement changed.</summary>
    public void Undo()
    {
        foreach (var (group, parameters) in _before)
            calibration.Fix(group, parameters);
        _before.Clear();
    }

    private IEnumerable<AffineParameters> Candidates(TensorStatistics statistics, double? bound, ActivationFormat format)
    {
        var full = Find(Calibrator.MinMax, 100);
        var squares = Find(Calibrator.Mse, 100);
        yield return Parameters(full);
        yield return Parameters(squares);
        yield return Parameters(Between(squares, full, 0.33));
        yield return Parameters(Between(squares, full, 0.67));
        foreach (var calibrator in Others)
            yield return Parameters(Find(calibrator, plan.Percentile));
        yield return Parameters(Find(Calibrator.Percentile, 99.99));

        ValueRange Find(Calibrator calibrator, double percentile) => ActivationRanges.Find(statistics, format, calibrator, percentile);

        AffineParameters Parameters(ValueRange range) => AffineQuantizer.Parameters(bound is { } b ? new ValueRange(0, Math.Min(range.Max, b)) : range, format);
    }

    private static ValueRange Between(ValueRange a, ValueRange b, double t) => new(a.Min + t * (b.Min - a.Min), a.Max + t * (b.Max - a.Max));
}
