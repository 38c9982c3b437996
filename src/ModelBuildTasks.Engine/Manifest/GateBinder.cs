using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest.Schema;

namespace ModelBuildTasks.Engine.Manifest;

/// <summary>Makes gates of a checked <c>validate:</c>.</summary>
internal static class GateBinder
{
    private static readonly Dictionary<string, Metric> Metrics = Enum.GetValues<Metric>().ToDictionary(m => m.ToString().ToLowerInvariant());

    /// <summary>The gates, in the order of the text.</summary>
    public static IReadOnlyList<GatePlan> Bind(ObjectValue validate, DiagnosticBag errors)
    {
        var gates = new List<GatePlan>();
        foreach (var member in validate.Members)
        {
            if (!Metrics.TryGetValue(member.Key, out var metric) || member.Value is not ObjectValue limits)
                continue;
            foreach (var limit in limits.Members.Where(l => l.Key is not ("top" or "threads")))
                gates.Add(Gate(metric, limit, limits));
            if (limits["min"] is { } min && limits["max"] is { } max && Fraction(metric, min) > Fraction(metric, max))
                errors.Error(DiagnosticCodes.InvalidValue, $"the min of '{member.Key}' is greater than its max", min.Location);
        }

        return gates;
    }

    private static GatePlan Gate(Metric metric, Member limit, ObjectValue limits)
    {
        var kind = limit.Key switch
        {
            "min" => LimitKind.Min,
            "max" => LimitKind.Max,
            "ratio" => LimitKind.Ratio,
            _ => limit.Value is ScalarValue { Content: Quantity { Percent: true } } ? LimitKind.MaxDropRelative : LimitKind.MaxDrop,
        };
        return new(metric, kind, Fraction(metric, limit.Value), limit.Value.Location, (int)(limits.Get<long>("top") ?? 1), (int)(limits.Get<long>("threads") ?? 1));
    }

    // Shares are counted from 0 to 1; without a percent sign they are written as percentage points.
    private static double Fraction(Metric metric, Value value) => ((ScalarValue)value).Content switch
    {
        Quantity { Percent: false } points when metric is Metric.Accuracy or Metric.Agreement => points.Number / 100,
        Quantity quantity => quantity.Number,
        long bytes => bytes,
        double number => number,
        _ => double.NaN,
    };
}
