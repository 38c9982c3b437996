using ModelBuildTasks.Engine.Reporting;

namespace ModelBuildTasks.Engine.Validation;

/// <summary>A metric of both models.</summary>
internal sealed record Pair(double Reference, double Compressed);

/// <summary>Everything that was measured of an artifact, before anyone judges it.</summary>
internal sealed record Measurements
{
    /// <summary>What it ran on, or why it did not run.</summary>
    public required string Data { get; init; }

    public long Samples { get; init; }

    public long OriginalBytes { get; init; }

    public long ArtifactBytes { get; init; }

    /// <summary>Elements of float outputs that could be compared.</summary>
    public long Values { get; init; }

    /// <summary>Elements that are NaN or infinite in the artifact only.</summary>
    public long NonFinite { get; init; }

    public double? Sqnr { get; init; }

    public double? Cosine { get; init; }

    public double? Mse { get; init; }

    public double? Agreement { get; init; }

    public Pair? Nll { get; init; }

    /// <summary>By the number of first classes that count.</summary>
    public SortedDictionary<int, Pair> Accuracy { get; init; } = [];

    /// <summary>By threads.</summary>
    public SortedDictionary<int, LatencyReport> Latency { get; init; } = [];
}
