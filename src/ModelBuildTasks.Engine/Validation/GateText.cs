using System.Globalization;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;

namespace ModelBuildTasks.Engine.Validation;

/// <summary>Gates and measured values in words.</summary>
internal static class GateText
{
    /// <summary>The metric's name as the manifest and the report spell it; <c>accuracy@5</c> for the first five classes.</summary>
    public static string Name(GatePlan gate) => gate.Metric == Metric.Accuracy ? AccuracyName(gate.Top) : gate.Metric.ToString().ToLowerInvariant();

    public static string AccuracyName(int top) => top == 1 ? "accuracy" : $"accuracy@{top}";

    public static string Code(Metric metric) => metric switch
    {
        Metric.Accuracy => DiagnosticCodes.AccuracyGate,
        Metric.Agreement => DiagnosticCodes.AgreementGate,
        Metric.Sqnr => DiagnosticCodes.SqnrGate,
        Metric.Cosine => DiagnosticCodes.CosineGate,
        Metric.Mse => DiagnosticCodes.MseGate,
        Metric.Nll => DiagnosticCodes.NllGate,
        Metric.Size => DiagnosticCodes.SizeGate,
        Metric.Latency => DiagnosticCodes.LatencyGate,
        _ => throw new ArgumentOutOfRangeException(nameof(metric), metric, null),
    };

    /// <summary>The limit for the report: <c>min 95 %</c>.</summary>
    public static string Limit(GatePlan gate) => gate.Kind switch
    {
        LimitKind.Min => $"min {Value(gate.Metric, gate.Limit)}",
        LimitKind.Max => $"max {Value(gate.Metric, gate.Limit)}",
        LimitKind.MaxDrop => $"max drop {Drop(gate.Metric, gate.Limit)}",
        LimitKind.MaxDropRelative => $"max drop {Percent(gate.Limit, 2)}",
        LimitKind.Ratio => $"{(gate.Metric == Metric.Size ? "min" : "max")} ratio {Number(gate.Limit, 3)}",
        _ => throw new ArgumentOutOfRangeException(nameof(gate), gate.Kind, null),
    };

    /// <summary>A value of a metric with its unit.</summary>
    public static string Value(Metric metric, double value, int extraDigits = 0) => metric switch
    {
        Metric.Accuracy or Metric.Agreement => Percent(value, 2 + extraDigits),
        Metric.Sqnr => $"{Number(value, 2 + extraDigits)} dB",
        Metric.Size => Bytes(value, extraDigits),
        Metric.Latency => $"{Number(value, 3 + extraDigits)} ms",
        _ => Significant(value, 4 + extraDigits),
    };

    /// <summary>An amount of worsening: points for shares, else the metric's own unit.</summary>
    public static string Drop(Metric metric, double value, int extraDigits = 0) => metric is Metric.Accuracy or Metric.Agreement
        ? $"{Number(value * 100, 2 + extraDigits)} {(Number(value * 100, 2 + extraDigits) == "1" ? "point" : "points")}"
        : Value(metric, value, extraDigits);

    public static string Percent(double value, int digits) => $"{Number(value * 100, digits)} %";

    /// <summary>At most this many digits behind the point.</summary>
    public static string Number(double value, int digits)
    {
        var text = Math.Round(value, Math.Min(digits, 15)).ToString("0." + new string('#', digits), CultureInfo.InvariantCulture);
        return text == "-0" ? "0" : text;
    }

    /// <summary>Bytes in the power of 1000 that fits: <c>1.41 MB</c>.</summary>
    public static string Bytes(double value, int extraDigits = 0) => Math.Abs(value) switch
    {
        < 1e3 => $"{Number(value, extraDigits)} bytes",
        < 1e6 => $"{Number(value / 1e3, 2 + extraDigits)} kB",
        < 1e9 => $"{Number(value / 1e6, 2 + extraDigits)} MB",
        _ => $"{Number(value / 1e9, 2 + extraDigits)} GB",
    };

    /// <summary>Two values with as few digits as tell them apart.</summary>
    public static (string Measured, string Allowed) Apart(double measured, double allowed, Func<double, int, string> format)
    {
        for (var digits = 0; ; digits++)
        {
            var pair = (format(measured, digits), format(allowed, digits));
            if (pair.Item1 != pair.Item2 || digits == 12)
                return pair;
        }
    }

    private static string Significant(double value, int digits) => value.ToString("G" + digits, CultureInfo.InvariantCulture);
}
