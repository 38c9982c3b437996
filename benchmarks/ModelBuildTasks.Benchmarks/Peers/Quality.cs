using System.Globalization;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Validation;

namespace ModelBuildTasks.Benchmarks.Peers;

/// <summary>The one figure by which models of a target are ranked, and how it is shown.</summary>
/// <param name="Rank">More is better.</param>
/// <param name="Text">The figure with its unit.</param>
internal readonly record struct Quality(double Rank, string Text)
{
    /// <summary>Agreement where there are labels, the likelihood of next tokens where the target limits it, else SQNR.</summary>
    public static Quality Of(Measurements found, ValidationPlan plan)
    {
        var culture = CultureInfo.InvariantCulture;
        if (found.Accuracy.TryGetValue(1, out var accuracy) && found.Agreement is { } agreement)
            return new(agreement, string.Create(culture, $"{agreement:P2} (accuracy {accuracy.Compressed:P2})"));
        if (plan.Gates.Any(g => g.Metric == Metric.Nll) && found.Nll is { } nll)
            return new(-nll.Compressed, string.Create(culture, $"NLL {nll.Compressed:F4}"));
        return found.Sqnr is { } sqnr ? new(sqnr, string.Create(culture, $"{sqnr:F1} dB")) : new(double.NegativeInfinity, "nothing measured");
    }

    public override string ToString() => Text;
}
