using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Reporting;
using ModelBuildTasks.Engine.Validation;

namespace ModelBuildTasks.Tool;

/// <summary>The metrics of a validation in words.</summary>
internal static class MetricTable
{
    public static void Write(Terminal terminal, ValidationReport validation)
    {
        var rows = validation.Metrics.Select(m => (IReadOnlyList<string>)[m.Name, m.Reference is { } r ? Value(m.Name, r) : "", Value(m.Name, m.Compressed), m.Limit ?? "", m.Passed ? "" : "failed"]).ToList();
        terminal.Table(["metric", "original", "compressed", "limit", ""], rows);
    }

    /// <summary>The metrics that say most, in one line.</summary>
    public static string Summary(ValidationReport? validation)
    {
        if (validation is null)
            return "not validated";
        var parts = validation.Metrics
            .Where(m => m.Name is not ("size" or "cosine" or "mse" or "latency"))
            .DistinctBy(m => m.Name)
            .Select(m => $"{m.Name} {Value(m.Name, m.Compressed)}")
            .ToList();
        if (validation.Latency is { } latency)
            parts.Add($"latency ratio {GateText.Number(latency.Ratio, 2)}");
        return string.Join(", ", parts);
    }

    private static string Value(string name, double value) =>
        Enum.TryParse<Metric>(name.Split('@')[0], ignoreCase: true, out var metric) ? GateText.Value(metric, value) : GateText.Number(value, 0);
}
