using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Validation;

namespace ModelBuildTasks.Engine.Pipeline;

/// <summary>What came of giving precision back.</summary>
/// <param name="Candidate">The candidate whose gates hold; null when there is none.</param>
/// <param name="Why">What was given back, or why nothing helps.</param>
internal sealed record RelaxationResult(Candidate? Candidate, string Why)
{
    /// <summary>What was measured of the candidate.</summary>
    public Measurements? Measured { get; init; }
}

/// <summary>
/// <c>on_failure: relax</c>. Quantized nodes are ranked by the loss that each byte of theirs saves costs. Down that ranking, first
/// nodes with 8-bit activations get 8-bit weights with float arithmetic, then nodes become float: a row of steps, each more
/// precise than the one before. The shortest prefix whose gates hold is found by bisection, every trial made by the passes
/// themselves, written and run. Latency is not looked at: no clock decides what is in an artifact.
/// </summary>
/// <param name="maker">Makes candidates under rules that come behind the target's own.</param>
/// <param name="measure">Runs a candidate.</param>
/// <param name="judge">The gates that do not hold.</param>
/// <param name="location">Where the rules are said to stand.</param>
internal sealed class Relaxation(
    Func<IReadOnlyList<RulePlan>, CandidateMaker> maker, Func<Candidate, Measurements> measure, Func<Measurements, IReadOnlyList<Diagnostic>> judge, SourceLocation location)
{
    /// <summary>The outcome in the report.</summary>
    public const string Outcome = "relaxed";

    /// <param name="failed">What failed.</param>
    /// <param name="measured">How.</param>
    /// <param name="folder">A folder for trials.</param>
    public RelaxationResult Run(Candidate failed, Measurements measured, string folder)
    {
        var failures = judge(measured);
        if (failures.Any(f => f.Code == DiagnosticCodes.SizeGate))
            return new(null, "relax cannot help: the artifact is too large already, and giving precision back makes it larger");
        if (!IsTooWrong(failures))
            return new(null, "relax cannot help: only latency fails, and no clock chooses what is in an artifact");
        var ranked = Rank(failed.Quantized);
        if (ranked.Count == 0)
            return new(null, "relax cannot help: no node is quantized");

        var steps = Steps(ranked);
        // Step 0 is what failed. Between: too little was given back up to low, and enough, or too many bytes, from high on.
        var (low, high) = (0, steps.Count + 1);
        (Candidate Candidate, Measurements Measured, IReadOnlyList<RulePlan> Rules)? kept = null;
        var tooLarge = false;
        while (high - low > 1)
        {
            var at = (low + high) / 2;
            var rules = RelaxedRules.Of(steps.Take(at), location);
            var trialFolder = Directory.CreateDirectory(Path.Combine(folder, $"relax{at}")).FullName;
            var trial = maker(rules).Make(Path.Combine(trialFolder, Path.GetFileName(failed.Path)));
            var seen = measure(trial);
            var left = judge(seen);
            if (IsTooWrong(left))
            {
                low = at;
                Directory.Delete(trialFolder, recursive: true);
                continue;
            }

            high = at;
            if (left.Any(f => f.Code == DiagnosticCodes.SizeGate))
            {
                tooLarge = true;
                Directory.Delete(trialFolder, recursive: true);
                continue;
            }

            if (kept is { } before)
                Directory.Delete(Path.GetDirectoryName(before.Candidate.Path)!, recursive: true);
            kept = (trial, seen, rules);
        }

        if (kept is not { } found)
        {
            return new(null, tooLarge
                ? "relax cannot help: what is precise enough is too large"
                : "relax cannot help: the gates do not hold either when no node is quantized");
        }

        var given = RelaxedRules.Last(steps.Take(high));
        var floats = given.Count(s => s.Value is null);
        var why = $"gates did not hold ({string.Join("; ", failures.Select(f => f.Message))}); precision was given back, as little as makes them hold on '{measured.Data}', "
            + $"which so influenced the artifact: of {ranked.Count} quantized nodes {floats} became float and {given.Count - floats} got float arithmetic. The same artifact without the search: {RelaxedRules.Yaml(found.Rules)}";
        return new(found.Candidate with { Outcome = Outcome, Reason = why }, why) { Measured = found.Measured };
    }

    /// <summary>Whether a gate fails that more precision may help.</summary>
    private static bool IsTooWrong(IEnumerable<Diagnostic> failures) =>
        failures.Any(f => f.Code is not (DiagnosticCodes.SizeGate or DiagnosticCodes.LatencyGate));

    /// <summary>
    /// Nodes by falling loss per byte that their quantization saves: first what costs least to give back for what it returns. The
    /// loss is the measured noise at the model's output, or, without that, the relative noise of the node's weight.
    /// </summary>
    internal static IReadOnlyList<Decision> Rank(IReadOnlyList<Decision> quantized) =>
        [.. quantized.DistinctBy(d => d.Name).OrderByDescending(d => Loss(d) / Math.Max(1, d.BytesBefore - d.BytesAfter))];

    private static double Loss(Decision decision) => decision.OutputNoise ?? Math.Pow(10, -(decision.Sqnr ?? 30) / 10);

    /// <summary>8-bit weights with float arithmetic in place of 8-bit activations and of fewer bits, then float.</summary>
    internal static IReadOnlyList<RelaxationStep> Steps(IReadOnlyList<Decision> ranked) =>
    [
        .. ranked.Where(d => d.What is not ("int8 weights" or "float16 weights")).Select(d => new RelaxationStep(d.Name, QuantizedForm.Weights)),
        .. ranked.Select(d => new RelaxationStep(d.Name, null)),
    ];
}
