using ModelBuildTasks.Engine.Diagnostics;

namespace ModelBuildTasks.Engine.Manifest;

/// <summary>What a manifest asks for, checked and merged: pure data, in which nothing of the YAML text is left but its locations.</summary>
/// <param name="ManifestPath">The manifest's full path.</param>
/// <param name="Datasets">The datasets by name.</param>
/// <param name="Targets">The targets in the order of the manifest; names are unique.</param>
/// <param name="Files">Full paths of all files the plan depends on (the manifest, models, dataset files, user's policies), existing or not, sorted ordinally.</param>
public sealed record Plan(
    string ManifestPath,
    IReadOnlyDictionary<string, DatasetPlan> Datasets,
    IReadOnlyList<TargetPlan> Targets,
    IReadOnlyList<string> Files);

/// <summary>One target: a model that becomes one artifact.</summary>
public sealed record TargetPlan
{
    /// <summary>Accessor, file and resource name: a C# identifier.</summary>
    public required string Name { get; init; }

    /// <summary>Where the target stands in the manifest.</summary>
    public required SourceLocation Location { get; init; }

    /// <summary>Full path of the original model.</summary>
    public required string ModelPath { get; init; }

    /// <summary>Where <c>model:</c> stands.</summary>
    public required SourceLocation ModelLocation { get; init; }

    /// <summary>What the runtime of the artifact can execute.</summary>
    public required RuntimePolicy Runtime { get; init; }

    /// <summary>The recipe the passes came from, or null.</summary>
    public string? Recipe { get; init; }

    /// <summary>The passes in order; graph clean-up comes before them by itself.</summary>
    public required IReadOnlyList<PassPlan> Passes { get; init; }

    /// <summary>Exceptions by operator and name; the last match wins.</summary>
    public IReadOnlyList<RulePlan> Rules { get; init; } = [];

    /// <summary>Calibration data, or null.</summary>
    public DatasetUse? Calibration { get; init; }

    /// <summary>What the artifact is checked for; null for <c>validate: none</c>.</summary>
    public ValidationPlan? Validation { get; init; }

    /// <summary>What happens when a gate fails.</summary>
    public OnFailure OnFailure { get; init; } = OnFailure.Error;

    /// <summary>How the artifact gets into the app.</summary>
    public PackageAs Package { get; init; } = PackageAs.Resource;

    /// <summary>How the artifact's bytes are stored there.</summary>
    public PackageEncoding Encoding { get; init; } = PackageEncoding.None;

    /// <summary>Where <c>package:</c> stands, or the target where the manifest does not say.</summary>
    public SourceLocation? PackageLocation { get; init; }
}

/// <summary>What happens when a gate fails.</summary>
public enum OnFailure
{
    /// <summary>The build fails.</summary>
    Error,

    /// <summary>The artifact is used; a warning tells.</summary>
    Warn,

    /// <summary>The untouched model is used; a warning tells.</summary>
    Original,

    /// <summary>Precision is given back, cheapest first, until the gates hold; a warning tells. When that does not help, the build fails.</summary>
    Relax,
}

/// <summary>How the artifact gets into the app.</summary>
public enum PackageAs
{
    /// <summary>Embedded as <c>models/&lt;Name&gt;.onnx</c>.</summary>
    Resource,

    /// <summary>A file <c>models/&lt;Name&gt;.onnx</c> next to the app, with its data file where there is one.</summary>
    Content,

    /// <summary>Only written to <c>obj/models</c>.</summary>
    None,
}

/// <summary>How an artifact's bytes are stored.</summary>
public enum PackageEncoding
{
    /// <summary>As they are.</summary>
    None,

    /// <summary>Compressed without loss, as <c>&lt;Name&gt;.onnx.br</c>.</summary>
    Brotli,
}
