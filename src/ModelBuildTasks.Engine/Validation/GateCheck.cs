using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Reporting;

namespace ModelBuildTasks.Engine.Validation;

/// <summary>What the gates say of the measurements.</summary>
/// <param name="Report">For the report.</param>
/// <param name="Failures">One error for each gate that does not hold, in the manifest's order.</param>
internal sealed record Verdict(ValidationReport Report, IReadOnlyList<Diagnostic> Failures);

/// <summary>Holds measurements against gates. Free of side effects: the same measurements can be judged again by other gates.</summary>
internal static class GateCheck
{
    /// <summary>Limits are given in decimal notation, measured values come from divisions: equal ones may differ by this share.</summary>
    private const double Tolerance = 1e-9;

    /// <param name="target">The target's name, with which messages begin.</param>
    /// <param name="fallback">Where a failure stands that belongs to no gate.</param>
    /// <param name="measured">What was measured.</param>
    /// <param name="gates">The limits.</param>
    public static Verdict Judge(string target, SourceLocation? fallback, Measurements measured, IReadOnlyList<GatePlan> gates)
    {
        var rows = new List<MetricReport>();
        var failures = new Dictionary<GatePlan, Diagnostic>(ReferenceEqualityComparer.Instance);
        foreach (var (metric, name, pair) in Measured(measured, gates))
        {
            var own = gates.Where(g => g.Metric == metric && GateText.Name(g) == name).ToList();
            foreach (var gate in own)
            {
                var why = pair is null ? NotMeasured(gate, measured) : Failure(gate, pair, measured);
                if (why is not null)
                    failures[gate] = new(GateText.Code(metric), DiagnosticSeverity.Error, $"{target}: {why}", gate.Location);
                if (ForRow(gate, pair, measured) is { } shown)
                    rows.Add(new(name, shown.Reference, shown.Compressed, GateText.Limit(gate), why is null));
            }

            if (own.Count == 0 && pair is not null)
                rows.Add(new(name, NullIfNaN(pair.Reference), pair.Compressed, null, true));
        }

        var all = gates.Where(failures.ContainsKey).Select(g => failures[g]).ToList();
        if (measured.NonFinite > 0)
        {
            rows.Add(new("nonFinite", 0, measured.NonFinite, "max 0", false));
            all.Insert(0, NonFinite(target, fallback, measured, gates));
        }

        var latency = measured.Latency.Values.FirstOrDefault();
        var report = new ValidationReport { Passed = all.Count == 0, Data = measured.Data, Samples = measured.Samples, Metrics = rows, Latency = latency };
        return new(report, all);
    }

    private static IEnumerable<(Metric Metric, string Name, Pair? Value)> Measured(Measurements m, IReadOnlyList<GatePlan> gates)
    {
        var tops = m.Accuracy.Keys.Concat(gates.Where(g => g.Metric == Metric.Accuracy).Select(g => g.Top)).Distinct().Order();
        foreach (var top in tops)
            yield return (Metric.Accuracy, GateText.AccuracyName(top), m.Accuracy.GetValueOrDefault(top));
        yield return (Metric.Agreement, "agreement", Against(1, m.Agreement));
        yield return (Metric.Sqnr, "sqnr", Against(double.NaN, m.Sqnr));
        yield return (Metric.Cosine, "cosine", Against(double.NaN, m.Cosine));
        yield return (Metric.Mse, "mse", Against(double.NaN, m.Mse));
        yield return (Metric.Nll, "nll", m.Nll);
        yield return (Metric.Size, "size", new(m.OriginalBytes, m.ArtifactBytes));
        var latency = m.Latency.Values.FirstOrDefault();
        yield return (Metric.Latency, "latency", latency is null ? null : new(latency.OriginalMs, latency.CompressedMs));
    }

    private static Pair? Against(double reference, double? value) => value is { } v ? new(reference, v) : null;

    private static double? NullIfNaN(double value) => double.IsNaN(value) ? null : value;

    private static (double? Reference, double Compressed)? ForRow(GatePlan gate, Pair? pair, Measurements m)
    {
        if (gate.Metric == Metric.Latency)
            return m.Latency.TryGetValue(gate.Threads, out var latency) ? (latency.OriginalMs, latency.CompressedMs) : null;
        return pair is null ? null : (NullIfNaN(pair.Reference), pair.Compressed);
    }

    private static string NotMeasured(GatePlan gate, Measurements m) =>
        $"{GateText.Name(gate)} has no value{(m.NonFinite > 0 ? " because of NaN or infinite outputs" : "")}, and {Line(gate)} limits it";

    private static string? Failure(GatePlan gate, Pair pair, Measurements measured) => gate switch
    {
        { Metric: Metric.Size, Kind: LimitKind.Ratio } => SizeRatio(gate, measured),
        { Metric: Metric.Latency } => LatencyRatio(gate, measured),
        { Kind: LimitKind.Min } when Less(pair.Compressed, gate.Limit) => Beyond(gate, pair, "below", "asks for"),
        { Kind: LimitKind.Max } when Less(gate.Limit, pair.Compressed) => Beyond(gate, pair, "above", "allows"),
        { Kind: LimitKind.MaxDrop or LimitKind.MaxDropRelative } => Worsening(gate, pair),
        _ => null,
    };

    private static string Beyond(GatePlan gate, Pair pair, string where, string verb)
    {
        var (got, limit) = GateText.Apart(pair.Compressed, gate.Limit, (v, d) => GateText.Value(gate.Metric, v, d));
        return $"{GateText.Name(gate)} {got} is {where} the {limit} that {Line(gate)} {verb}";
    }

    /// <summary>Agreement, SQNR, cosine and MSE compare with the original: what it has with itself is the start of a drop.</summary>
    private static string? Worsening(GatePlan gate, Pair pair)
    {
        var reference = gate.Metric switch
        {
            Metric.Agreement or Metric.Cosine => 1,
            Metric.Sqnr => Tally.MaxDecibels,
            Metric.Mse => 0,
            _ => pair.Reference,
        };
        var rises = gate.Metric is Metric.Nll or Metric.Mse;
        var drop = rises ? pair.Compressed - reference : reference - pair.Compressed;
        var relative = gate.Kind == LimitKind.MaxDropRelative;
        var allowed = relative ? gate.Limit * Math.Abs(reference) : gate.Limit;
        if (!Less(allowed, drop))
            return null;
        var (amount, limit) = relative && reference != 0
            ? GateText.Apart(drop / Math.Abs(reference), gate.Limit, (v, d) => GateText.Percent(v, 2 + d))
            : GateText.Apart(drop, allowed, (v, d) => GateText.Drop(gate.Metric, v, d));
        var (got, original) = GateText.Apart(pair.Compressed, reference, (v, d) => GateText.Value(gate.Metric, v, d));
        return $"{GateText.Name(gate)} {got} is {amount} {(rises ? "above" : "below")} the original's {original}, and {Line(gate)} allows {limit}";
    }

    private static string? SizeRatio(GatePlan gate, Measurements m)
    {
        var ratio = (double)m.OriginalBytes / Math.Max(1, m.ArtifactBytes);
        if (!Less(ratio, gate.Limit))
            return null;
        var (got, limit) = GateText.Apart(ratio, gate.Limit, (v, d) => GateText.Number(v, 2 + d));
        return $"size ratio {got} ({GateText.Bytes(m.OriginalBytes)} to {GateText.Bytes(m.ArtifactBytes)}) is below the {limit} that {Line(gate)} asks for";
    }

    private static string? LatencyRatio(GatePlan gate, Measurements m)
    {
        if (!m.Latency.TryGetValue(gate.Threads, out var latency))
            return NotMeasured(gate, m);
        var measured = gate.Kind == LimitKind.Ratio ? latency.Ratio : latency.CompressedMs;
        if (!Less(gate.Limit, measured))
            return null;
        var (got, limit) = GateText.Apart(measured, gate.Limit, (v, d) => gate.Kind == LimitKind.Ratio ? GateText.Number(v, 2 + d) : GateText.Value(Metric.Latency, v, d));
        return $"latency {(gate.Kind == LimitKind.Ratio ? "ratio " : "")}{got} ({GateText.Value(Metric.Latency, latency.OriginalMs)} to {GateText.Value(Metric.Latency, latency.CompressedMs)}) is above the {limit} that {Line(gate)} allows";
    }

    private static Diagnostic NonFinite(string target, SourceLocation? fallback, Measurements m, IReadOnlyList<GatePlan> gates)
    {
        var text = $"{target}: the compressed model gives NaN or infinity in {m.NonFinite} of {m.Values} values where the original gives numbers";
        var gate = gates.FirstOrDefault(g => g.Metric is not (Metric.Size or Metric.Latency));
        return gate is null
            ? new(DiagnosticCodes.ArtifactDoesNotRun, DiagnosticSeverity.Error, text, fallback)
            : new(GateText.Code(gate.Metric), DiagnosticSeverity.Error, $"{text}, and {Line(gate)} limits {GateText.Name(gate)}", gate.Location);
    }

    private static bool Less(double a, double b) => a < b && b - a > Tolerance * Math.Max(Math.Abs(a), Math.Abs(b));

    private static string Line(GatePlan gate) => gate.Location.Line > 0 ? $"line {gate.Location.Line}" : "the manifest";
}
