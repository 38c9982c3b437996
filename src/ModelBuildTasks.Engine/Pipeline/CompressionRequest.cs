using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Reporting;

namespace ModelBuildTasks.Engine.Pipeline;

/// <summary>A plan to carry out.</summary>
/// <param name="Plan">What the manifest asks for.</param>
/// <param name="OutputDirectory">Where <c>&lt;Name&gt;.onnx</c> and <c>report.json</c> go.</param>
public sealed record CompressionRequest(Plan Plan, string OutputDirectory)
{
    /// <summary>Folder of the content-addressed cache; null for none.</summary>
    public string? CacheDirectory { get; init; }

    /// <summary>Threads to use; the artifacts do not depend on it.</summary>
    public int Threads { get; init; } = 1;

    /// <summary>Only the target of this name; null for all.</summary>
    public string? Target { get; init; }

    /// <summary>False leaves out the run against the original (<c>--no-validate</c>), not the check that the file loads.</summary>
    public bool Validate { get; init; } = true;

    /// <summary>False writes without loading the result (<c>--no-check</c>), marked in the report.</summary>
    public bool Check { get; init; } = true;

    /// <summary>False writes no <c>report.json</c>, and leaves the hashes of the files out of the report where nothing else needs them.</summary>
    public bool Report { get; init; } = true;

    /// <summary>Whether latency is measured where no gate asks for it.</summary>
    public bool MeasureLatency { get; init; }
}

/// <summary>What came of a request.</summary>
/// <param name="Report">The report that was written.</param>
/// <param name="Targets">One entry a target, in the manifest's order.</param>
public sealed record CompressionResult(Report Report, IReadOnlyList<TargetResult> Targets)
{
    /// <summary>Whether no target has an error.</summary>
    public bool Succeeded => Targets.All(t => t.Diagnostics.All(d => d.Severity != DiagnosticSeverity.Error));
}

/// <summary>What came of one target.</summary>
/// <param name="Plan">What was asked.</param>
/// <param name="ArtifactPath">Full path of the artifact; null when the target failed.</param>
/// <param name="CacheHit">Whether the artifact came from the cache.</param>
/// <param name="Report">Its part of the report.</param>
/// <param name="Diagnostics">Errors and warnings.</param>
public sealed record TargetResult(TargetPlan Plan, string? ArtifactPath, bool CacheHit, TargetReport Report, IReadOnlyList<Diagnostic> Diagnostics);

/// <summary>Something that happened on the way, for progress displays and logs.</summary>
/// <param name="Target">The target's name.</param>
/// <param name="Step">What runs now or is done, such as <c>calibrate</c>.</param>
/// <param name="Message">One line for people.</param>
/// <param name="Fraction">How much of the step is done, 0 to 1, or null.</param>
public sealed record ProgressEvent(string Target, string Step, string Message, double? Fraction = null);
