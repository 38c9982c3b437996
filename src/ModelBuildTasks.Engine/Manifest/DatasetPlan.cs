using ModelBuildTasks.Engine.Diagnostics;

namespace ModelBuildTasks.Engine.Manifest;

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
