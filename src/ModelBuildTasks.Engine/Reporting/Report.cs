namespace ModelBuildTasks.Engine.Reporting;

/// <summary>What <c>report.json</c> holds; property names are camel case there.</summary>
/// <param name="Version">Version of the format: 1.</param>
/// <param name="Tool">Name and version of this tool.</param>
/// <param name="Runtime">Name and version of the ONNX Runtime that artifacts were checked with.</param>
/// <param name="Targets">One entry a target, in the manifest's order.</param>
public sealed record Report(int Version, string Tool, string Runtime, IReadOnlyList<TargetReport> Targets);

/// <summary>What became of one target.</summary>
public sealed record TargetReport
{
    /// <summary>The target's name.</summary>
    public required string Name { get; init; }

    /// <summary>The runtime policy.</summary>
    public required string Policy { get; init; }

    /// <summary>The original.</summary>
    public required ModelFile Model { get; init; }

    /// <summary>The artifact; null when the target failed.</summary>
    public ArtifactFile? Artifact { get; init; }

    /// <summary>"compressed"; "relaxed" where precision was given back until the gates held; "original" where the untouched model was kept, because of a gate or because nothing smaller came out; "failed".</summary>
    public required string Outcome { get; init; }

    /// <summary>Why the outcome is not "compressed", in words.</summary>
    public string? OutcomeReason { get; init; }

    /// <summary>False when the artifact was written without loading it (<c>--no-check</c>).</summary>
    public bool Checked { get; init; } = true;

    /// <summary>The passes that ran, clean-up first.</summary>
    public IReadOnlyList<PassReport> Passes { get; init; } = [];

    /// <summary>The checks against the original; null when <c>validate: none</c> or the run was skipped.</summary>
    public ValidationReport? Validation { get; init; }

    /// <summary>One row for each weighted operator, with the last decision on it.</summary>
    public IReadOnlyList<LayerReport> Layers { get; init; } = [];

    /// <summary>Errors and warnings as the lines that were printed.</summary>
    public IReadOnlyList<string> Diagnostics { get; init; } = [];
}

/// <summary>The original model.</summary>
/// <param name="Path">Path relative to the manifest, with <c>/</c>.</param>
/// <param name="Sha256">Hash of the file in hex; with external data, of the model file and its data files in order.</param>
/// <param name="Size">Bytes, external data included.</param>
public sealed record ModelFile(string Path, string Sha256, long Size);

/// <summary>The compressed model.</summary>
/// <param name="Path">File name in the output folder.</param>
/// <param name="Sha256">Hash of the file in hex.</param>
/// <param name="Size">Bytes.</param>
/// <param name="PackedSize">Bytes after encoding.</param>
public sealed record ArtifactFile(string Path, string Sha256, long Size, long PackedSize);

/// <summary>One pass.</summary>
/// <param name="Name">The pass's name.</param>
/// <param name="Seconds">How long it took.</param>
/// <param name="Summary">One line for people.</param>
public sealed record PassReport(string Name, double Seconds, string Summary)
{
    /// <summary>What the model costs behind this pass; given where a target prunes.</summary>
    public ModelCostReport? Cost { get; init; }

    /// <summary>How well the model does behind this pass, on the validation data; given for the passes of a chain that prunes, but for the last, which <see cref="TargetReport.Validation"/> is about.</summary>
    public IReadOnlyList<MetricReport> Metrics { get; init; } = [];
}

/// <summary>What a model costs. Zeros are counted apart: they take the room and the time of any other value until something stores them smaller.</summary>
/// <param name="Parameters">Elements of its weights, zeros among them.</param>
/// <param name="Zeros">Weights that are exactly zero.</param>
/// <param name="Macs">Multiply-accumulates of a run on one sample; 0 where shapes are unknown.</param>
/// <param name="Bytes">Bytes of the model's file, as its weights are stored then.</param>
/// <param name="DenseBytes">Bytes that the weights would take in float32, zeros included.</param>
/// <param name="EncodedBytes">Bytes of the file behind Brotli, where the package is encoded; for large files an estimate.</param>
/// <param name="PredictedMs">Milliseconds of a run by the runtime's cost table, in float; null where it has none.</param>
public sealed record ModelCostReport(long Parameters, long Zeros, long Macs, long Bytes, long DenseBytes, long? EncodedBytes, double? PredictedMs);

/// <summary>The checks against the original.</summary>
public sealed record ValidationReport
{
    /// <summary>Whether all gates held.</summary>
    public required bool Passed { get; init; }

    /// <summary>What the artifact ran on: a dataset with its narrowing, or seeded random inputs.</summary>
    public required string Data { get; init; }

    /// <summary>Samples.</summary>
    public required long Samples { get; init; }

    /// <summary>Metrics with their gates; those without a gate have no limit.</summary>
    public IReadOnlyList<MetricReport> Metrics { get; init; } = [];

    /// <summary>Times of a run, interleaved; null when not measured.</summary>
    public LatencyReport? Latency { get; init; }
}

/// <summary>One metric.</summary>
/// <param name="Name">Such as <c>accuracy</c>, <c>sqnr</c>, <c>size</c>.</param>
/// <param name="Reference">The original's value where it has one.</param>
/// <param name="Compressed">The artifact's value.</param>
/// <param name="Limit">The gate in words, such as <c>min 95 %</c>, or null.</param>
/// <param name="Passed">Whether the gate held; true without a gate.</param>
public sealed record MetricReport(string Name, double? Reference, double Compressed, string? Limit, bool Passed);

/// <summary>Median times of one run in milliseconds.</summary>
/// <param name="OriginalMs">The original.</param>
/// <param name="CompressedMs">The artifact.</param>
/// <param name="Ratio">Median of the ratios compressed/original, pair by pair.</param>
public sealed record LatencyReport(double OriginalMs, double CompressedMs, double Ratio);

/// <summary>What was decided for one weighted operator.</summary>
/// <param name="Name">Node name.</param>
/// <param name="Op">Operator type.</param>
/// <param name="Decision">What was done.</param>
/// <param name="Reason">Why.</param>
/// <param name="Sqnr">Of the weight in dB, where known.</param>
/// <param name="BytesBefore">Weight bytes before.</param>
/// <param name="BytesAfter">Weight bytes after.</param>
public sealed record LayerReport(string Name, string Op, string Decision, string Reason, double? Sqnr, long BytesBefore, long BytesAfter);
