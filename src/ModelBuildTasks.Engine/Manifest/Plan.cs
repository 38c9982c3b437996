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
}

/// <summary>How the artifact gets into the app.</summary>
public enum PackageAs
{
    /// <summary>Embedded as <c>models/&lt;Name&gt;.onnx</c>.</summary>
    Resource,

    /// <summary>Only written to <c>obj/models</c>.</summary>
    None,
}

/// <summary>A dataset, narrowed: <c>{ use: digits, take: 200 }</c>. Skip and take apply behind the dataset's own; a shuffle or batch given here replaces the dataset's.</summary>
/// <param name="Dataset">The dataset as the manifest defines it.</param>
/// <param name="Location">Where it is used.</param>
public sealed record DatasetUse(DatasetPlan Dataset, SourceLocation Location)
{
    /// <summary>Samples to leave out at the start, behind the dataset's own skip and take.</summary>
    public long Skip { get; init; }

    /// <summary>Samples to use at most.</summary>
    public long? Take { get; init; }

    /// <summary>Samples a run, where it differs from the dataset's.</summary>
    public int? Batch { get; init; }

    /// <summary>Seed of a shuffle, where it differs from the dataset's.</summary>
    public int? Shuffle { get; init; }
}

/// <summary>Named inputs for a model, sample by sample.</summary>
public sealed record DatasetPlan
{
    /// <summary>The name in the manifest.</summary>
    public required string Name { get; init; }

    /// <summary>Where the dataset stands.</summary>
    public required SourceLocation Location { get; init; }

    /// <summary>A source for each model input, by the input's name, in the manifest's order.</summary>
    public required IReadOnlyDictionary<string, SourcePlan> Inputs { get; init; }

    /// <summary>The source of labels, or null.</summary>
    public SourcePlan? Labels { get; init; }

    /// <summary>Seed by which samples are put into a fixed random order before skip and take; null keeps the order.</summary>
    public int? Shuffle { get; init; }

    /// <summary>Samples to leave out at the start.</summary>
    public long Skip { get; init; }

    /// <summary>Samples to use at most.</summary>
    public long? Take { get; init; }

    /// <summary>Samples a run.</summary>
    public int Batch { get; init; } = 1;
}

/// <summary>Where the values of one input, or the labels, come from.</summary>
/// <param name="Location">Where the source stands in the manifest.</param>
public abstract record SourcePlan(SourceLocation Location);

/// <summary>Photos: jpg and png files.</summary>
/// <param name="Location">Where the source stands.</param>
/// <param name="BaseDirectory">Full path of the folder that <paramref name="Pattern"/> is relative to.</param>
/// <param name="Pattern">A glob (<c>*</c>, <c>?</c>, <c>**</c>) with <c>/</c> between folders; <c>..</c> is allowed at its start.</param>
/// <param name="Image">How a photo becomes numbers.</param>
public sealed record ImagesSource(SourceLocation Location, string BaseDirectory, string Pattern, ImageOptions Image) : SourcePlan(Location);

/// <summary>An array file of NumPy; the first axis counts samples.</summary>
public sealed record NpySource(SourceLocation Location, string Path, ImageOptions Image) : SourcePlan(Location);

/// <summary>An IDX file (the format of MNIST), plain or <c>.gz</c>; the first axis counts samples.</summary>
public sealed record IdxSource(SourceLocation Location, string Path, ImageOptions Image) : SourcePlan(Location);

/// <summary>Columns of a text table; a row is a sample.</summary>
/// <param name="Location">Where the source stands.</param>
/// <param name="Path">Full path of the file.</param>
/// <param name="Separator">The character between columns: <c>,</c> for csv, tab for tsv.</param>
/// <param name="Columns">0-based indices or header names; empty for all columns.</param>
/// <param name="Header">Whether the first row is a header; null when that is to be seen from the file (a name among the columns, or a first row that is no number where the rest is).</param>
/// <param name="Classes">For labels as text: the class names in the order of the model's outputs; empty when the column holds numbers.</param>
public sealed record TableSource(
    SourceLocation Location, string Path, char Separator, IReadOnlyList<string> Columns, bool? Header, IReadOnlyList<string> Classes) : SourcePlan(Location);

/// <summary>The same numbers for every sample.</summary>
public sealed record ValueSource(SourceLocation Location, IReadOnlyList<double> Values) : SourcePlan(Location);

/// <summary>Seeded random numbers of the shape the model declares; free dimensions are 1.</summary>
/// <param name="Location">Where the source stands.</param>
/// <param name="Min">Least value.</param>
/// <param name="Max">Greatest value (for integers: inclusive).</param>
/// <param name="Seed">Seed.</param>
/// <param name="Count">Samples.</param>
/// <param name="Shape">Shape of one sample's array where the model's own is not wanted; empty for the model's.</param>
public sealed record RandomSource(SourceLocation Location, double Min, double Max, int Seed, long Count, IReadOnlyList<long> Shape) : SourcePlan(Location);

/// <summary>How pixels, or an array's values, become input values: value = (x·Scale − Mean) / Std, per channel in output order.</summary>
public sealed record ImageOptions
{
    /// <summary>The options that change nothing.</summary>
    public static ImageOptions None { get; } = new();

    /// <summary>Length of the short side after resizing; null when not resized this way.</summary>
    public int? ResizeShortSide { get; init; }

    /// <summary>Exact [width, height] after resizing; null when not resized this way.</summary>
    public (int Width, int Height)? ResizeExact { get; init; }

    /// <summary>Central crop [width, height]; null for none.</summary>
    public (int Width, int Height)? Crop { get; init; }

    /// <summary>Order of channels in the output.</summary>
    public Channels Channels { get; init; } = Channels.Rgb;

    /// <summary>Whether the manifest names the channels; an array is reordered only then.</summary>
    public bool ChannelsGiven { get; init; }

    /// <summary>Factor on the pixel.</summary>
    public double Scale { get; init; } = 1;

    /// <summary>Subtracted after the factor: empty, one value, or one a channel.</summary>
    public IReadOnlyList<double> Mean { get; init; } = [];

    /// <summary>Divisor: empty, one value, or one a channel.</summary>
    public IReadOnlyList<double> Std { get; init; } = [];

    /// <summary>How an array source is laid out; null when the manifest does not say.</summary>
    public ArrayLayout? Layout { get; init; }
}

/// <summary>Order of channels.</summary>
public enum Channels
{
    /// <summary>Red, green, blue.</summary>
    Rgb,

    /// <summary>Blue, green, red.</summary>
    Bgr,

    /// <summary>One channel of luma (ITU-R 601: 0.299 R + 0.587 G + 0.114 B).</summary>
    Gray,
}

/// <summary>Order of an array's axes.</summary>
public enum ArrayLayout
{
    /// <summary>Samples, height, width, channels.</summary>
    Nhwc,

    /// <summary>Samples, channels, height, width.</summary>
    Nchw,
}

/// <summary>One pass of a target.</summary>
/// <param name="Location">Where it stands in the manifest or recipe.</param>
public abstract record PassPlan(SourceLocation Location)
{
    /// <summary>The pass's key in the manifest.</summary>
    public abstract string Name { get; }
}

/// <summary><c>prune: { structure: unstructured, amount: 50% }</c>: the smallest weights of each layer become zero.</summary>
/// <param name="Location">Where it stands.</param>
/// <param name="Amount">The share of a layer's weights that become zero, 0 to 1.</param>
public sealed record PrunePlan(SourceLocation Location, double Amount) : PassPlan(Location)
{
    /// <inheritdoc/>
    public override string Name => "prune";
}

/// <summary>What activations become.</summary>
public enum ActivationMode
{
    /// <summary>Static where the runtime is fast at it and there is calibration data, else dynamic or weights only: the policy's order for each operator.</summary>
    Auto,

    /// <summary>Calibrated scale and zero point (QDQ), unsigned 8 bit.</summary>
    Uint8,

    /// <summary>Scale and zero point computed at run time from each tensor's range.</summary>
    Dynamic,

    /// <summary>Activations stay float; only weights are stored in 8 bits.</summary>
    None,
}

/// <summary>How a tensor's range is found from what was observed.</summary>
public enum Calibrator
{
    /// <summary>Least and greatest value.</summary>
    MinMax,

    /// <summary>Cuts off the same share of values at both ends.</summary>
    Percentile,

    /// <summary>The range whose quantization makes the least squared error on the histogram.</summary>
    Mse,
}

/// <summary><c>quantize: { weights: int8, activations: auto, calibrator: mse }</c>.</summary>
public sealed record QuantizePlan(SourceLocation Location) : PassPlan(Location)
{
    /// <inheritdoc/>
    public override string Name => "quantize";

    /// <summary>What activations become.</summary>
    public ActivationMode Activations { get; init; } = ActivationMode.Auto;

    /// <summary>How ranges of activations are found.</summary>
    public Calibrator Calibrator { get; init; } = Calibrator.Mse;

    /// <summary>For <see cref="Calibrator.Percentile"/>: the share of values inside the range, in percent.</summary>
    public double Percentile { get; init; } = 99.999;

    /// <summary>One scale for each output channel of a weight instead of one for the tensor.</summary>
    public bool PerChannel { get; init; } = true;
}

/// <summary>An exception for the nodes that it matches.</summary>
/// <param name="Location">Where it stands.</param>
/// <param name="Operators">Operator types; empty for all.</param>
/// <param name="NamePattern">A regular expression found in the node's name, or, where it has none, in its first output's; null for all.</param>
/// <param name="Quantize">Whether the nodes may be quantized.</param>
public sealed record RulePlan(SourceLocation Location, IReadOnlyList<string> Operators, string? NamePattern, bool Quantize);

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
