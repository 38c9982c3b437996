using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;

namespace ModelBuildTasks.Engine.Data;

/// <summary>What the image options make of a raster: resize, crop, order of channels, scale, mean and std.</summary>
internal sealed class ImageTransform
{
    private const int LongestSide = 1 << 16;

    private readonly ImageOptions _options;
    private readonly SourceLocation _location;
    private readonly int _sourceChannels;
    private readonly bool _reorder;
    private readonly float[] _mean;
    private readonly float[] _std;

    /// <summary>Checks the options against the source's number of channels.</summary>
    /// <param name="options">The manifest's options.</param>
    /// <param name="sourceChannels">Channels of the source, in the order RGB where there are three.</param>
    /// <param name="isPhoto">Whether the source is known to be RGB; an array is reordered only when the manifest says so.</param>
    /// <param name="location">Where the source stands.</param>
    /// <exception cref="ModelBuildException">Options that cannot apply to so many channels.</exception>
    public ImageTransform(ImageOptions options, int sourceChannels, bool isPhoto, SourceLocation location)
    {
        (_options, _sourceChannels, _location) = (options, sourceChannels, location);
        _reorder = isPhoto || options.ChannelsGiven;
        if (_reorder && sourceChannels != 3 && !(sourceChannels == 1 && options.Channels == Manifest.Channels.Gray))
            throw DatasetError.DoesNotFit($"'channels: {options.Channels.ToString().ToUpperInvariant()}' needs a source of 3 channels, and this one has {sourceChannels}", location);
        Channels = _reorder && options.Channels == Manifest.Channels.Gray ? 1 : sourceChannels;
        _mean = PerChannel(options.Mean, "mean", 0);
        _std = PerChannel(options.Std, "std", 1);
        if (_std.Contains(0))
            throw new ModelBuildException(DiagnosticCodes.InvalidValue, "'std' is 0, by which nothing can be divided", location);
    }

    /// <summary>Channels of the result.</summary>
    public int Channels { get; }

    /// <summary>Whether every image gets the same size, and which.</summary>
    public static (int Width, int Height)? FixedSize(ImageOptions options) => options.Crop ?? options.ResizeExact;

    /// <summary>The size that an image of the given size gets.</summary>
    /// <exception cref="ModelBuildException">The crop is larger than the image, or the result is too large to hold.</exception>
    public (int Width, int Height) SizeOf(int width, int height, string name)
    {
        var (w, h) = Resized(width, height, name);
        if (_options.Crop is not { } crop)
            return (w, h);
        return crop.Width <= w && crop.Height <= h
            ? crop
            : throw DatasetError.DoesNotFit($"'crop' is {crop.Width} x {crop.Height}, and {name} is only {w} x {h}{(w == width && h == height ? "" : " after 'resize'")}", _location);
    }

    /// <summary>Transforms an 8-bit image.</summary>
    /// <param name="image">The image.</param>
    /// <param name="channelsLast">Whether the result is height, width, channels; otherwise channels, height, width.</param>
    /// <param name="result">Room for all values.</param>
    /// <param name="name">The image's name for messages.</param>
    public void Apply(Raster<byte> image, bool channelsLast, Span<float> result, string name)
    {
        var (width, height) = Resized(image.Width, image.Height, name);
        var (w, h) = SizeOf(image.Width, image.Height, name);
        image = Resampler.Resize(image, width, height).Crop(w, h);
        if (_reorder && _options.Channels == Manifest.Channels.Gray && image.Channels == 3)
            image = Luma(image);
        var table = new float[256];
        for (var c = 0; c < Channels; c++)
        {
            for (var v = 0; v < table.Length; v++)
                table[v] = Value(v, c);
            var (at, step) = Target(c, w * h, channelsLast);
            for (var i = SourceChannel(c); i < image.Values.Length; i += image.Channels, at += step)
                result[at] = table[image.Values[i]];
        }
    }

    /// <summary>Transforms an image of real values.</summary>
    /// <inheritdoc cref="Apply(Raster{byte}, bool, Span{float}, string)"/>
    public void Apply(Raster<float> image, bool channelsLast, Span<float> result, string name)
    {
        var (width, height) = Resized(image.Width, image.Height, name);
        var (w, h) = SizeOf(image.Width, image.Height, name);
        image = Resampler.Resize(image, width, height).Crop(w, h);
        if (_reorder && _options.Channels == Manifest.Channels.Gray && image.Channels == 3)
            image = Luma(image);
        for (var c = 0; c < Channels; c++)
        {
            var (at, step) = Target(c, w * h, channelsLast);
            for (var i = SourceChannel(c); i < image.Values.Length; i += image.Channels, at += step)
                result[at] = Value(image.Values[i], c);
        }
    }

    private (int Start, int Step) Target(int channel, int pixels, bool channelsLast) => channelsLast ? (channel, Channels) : (channel * pixels, 1);

    private float Value(float x, int channel) => (x * (float)_options.Scale - _mean[channel]) / _std[channel];

    private int SourceChannel(int channel) => _reorder && _options.Channels == Manifest.Channels.Bgr ? 2 - channel : channel;

    // ITU-R 601 in 16-bit fixed point, as image libraries round it.
    private static Raster<byte> Luma(Raster<byte> image)
    {
        var result = new byte[image.Width * image.Height];
        for (var i = 0; i < result.Length; i++)
            result[i] = (byte)((image.Values[3 * i] * 19595 + image.Values[3 * i + 1] * 38470 + image.Values[3 * i + 2] * 7471 + 0x8000) >> 16);
        return new(image.Width, image.Height, 1, result);
    }

    private static Raster<float> Luma(Raster<float> image)
    {
        var result = new float[image.Width * image.Height];
        for (var i = 0; i < result.Length; i++)
            result[i] = 0.299f * image.Values[3 * i] + 0.587f * image.Values[3 * i + 1] + 0.114f * image.Values[3 * i + 2];
        return new(image.Width, image.Height, 1, result);
    }

    private (int Width, int Height) Resized(int width, int height, string name)
    {
        long w = width, h = height;
        if (_options.ResizeExact is { } exact)
            (w, h) = exact;
        else if (_options.ResizeShortSide is { } side)
            (w, h) = width <= height ? ((long)side, Rounded(height, side, width)) : (Rounded(width, side, height), side);
        else
            return (width, height);
        return Math.Min(w, h) > 0 && Math.Max(w, h) <= LongestSide && w * h <= ImageHeader.MostPixels
            ? ((int)w, (int)h)
            : throw DatasetError.DoesNotFit($"'resize' would make {name} {w} x {h}, which is too large", _location);
    }

    private static long Rounded(long length, long factor, long divisor) => (2 * length * factor + divisor) / (2 * divisor);

    private float[] PerChannel(IReadOnlyList<double> values, string key, float otherwise)
    {
        if (values.Count > 1 && values.Count != Channels)
            throw DatasetError.DoesNotFit($"'{key}' has {values.Count} values for {Channels} channel{(Channels == 1 ? "" : "s")}", _location);
        return [.. Enumerable.Range(0, Channels).Select(c => values.Count == 0 ? otherwise : (float)values[values.Count == 1 ? 0 : c])];
    }
}
