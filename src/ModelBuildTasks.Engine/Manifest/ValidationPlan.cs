using ModelBuildTasks.Engine.Diagnostics;

namespace ModelBuildTasks.Engine.Manifest;

/// <summary>What the artifact is checked for.</summary>
public sealed record ValidationPlan
{
    /// <summary>Data to run on; null for the calibration data, and without that seeded random inputs.</summary>
    public DatasetUse? Data { get; init; }

    /// <summary>Limits on metrics, size and latency, in the manifest's order.</summary>
    public IReadOnlyList<GatePlan> Gates { get; init; } = [];
}

/// <summary>What a gate looks at.</summary>
public enum Metric
{
    /// <summary>Share of samples whose label is among the first <see cref="GatePlan.Top"/> classes, 0 to 1.</summary>
    Accuracy,

    /// <summary>Share of samples with the same first class as the original, 0 to 1.</summary>
    Agreement,

    /// <summary>10·log10(Σref²/Σ(ref−out)²) in dB, at most 200.</summary>
    Sqnr,

    /// <summary>Cosine similarity, pooled.</summary>
    Cosine,

    /// <summary>Mean squared error, pooled.</summary>
    Mse,

    /// <summary>Mean negative log-likelihood in nats.</summary>
    Nll,

    /// <summary>Packed bytes (max) or original/artifact (ratio, at least).</summary>
    Size,

    /// <summary>Compressed/original time of a run (ratio, at most).</summary>
    Latency,
}

/// <summary>The form of a gate's limit.</summary>
public enum LimitKind
{
    /// <summary>At least.</summary>
    Min,

    /// <summary>At most.</summary>
    Max,

    /// <summary>Worsens by at most this against the original. For accuracy and agreement the limit is a fraction (1 point = 0.01).</summary>
    MaxDrop,

    /// <summary>Worsens by at most this share of the original's value.</summary>
    MaxDropRelative,

    /// <summary>For size: original/artifact at least; for latency: compressed/original at most.</summary>
    Ratio,
}

/// <summary>One limit.</summary>
/// <param name="Metric">What is limited.</param>
/// <param name="Kind">The form of the limit.</param>
/// <param name="Limit">The limit: fractions for shares, bytes for size.max, dB for sqnr.</param>
/// <param name="Location">Where the limit's value stands.</param>
/// <param name="Top">For accuracy: how many classes count.</param>
/// <param name="Threads">For latency: threads of a run.</param>
public sealed record GatePlan(Metric Metric, LimitKind Kind, double Limit, SourceLocation Location, int Top = 1, int Threads = 1);
