using ModelBuildTasks.Engine.Manifest;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Data;

/// <summary>Image options applied to an array's samples.</summary>
internal sealed record ArrayImage
{
    private const string ImageName = "an image of the array";

    private readonly ImageTransform _transform;
    private readonly SampleSource _source;
    private readonly ArrayLayout _layout;
    private readonly (int Width, int Height, int Channels) _from;
    private readonly (int Width, int Height) _to;

    private ArrayImage(ImageOptions options, SampleSource source, ArrayLayout layout, (int Width, int Height, int Channels) from)
    {
        (_source, _layout, _from) = (source, layout, from);
        _transform = new(options, from.Channels, isPhoto: false, source.Location);
        _to = _transform.SizeOf(from.Width, from.Height, ImageName);
        Count = checked(_to.Width * _to.Height * _transform.Channels);
    }

    /// <summary>Whether the result is height, width, channels.</summary>
    public bool ChannelsLast { get; init; }

    /// <summary>Values of one transformed sample.</summary>
    public int Count { get; }

    /// <summary>Whether the options need to know which axes are width, height and channels.</summary>
    public static bool Needed(ImageOptions options) =>
        options.Layout is not null || options.ChannelsGiven || options.Mean.Count > 1 || options.Std.Count > 1
        || options.ResizeExact is not null || options.ResizeShortSide is not null || options.Crop is not null;

    /// <summary>The same calculation for every element, or null when the options change nothing.</summary>
    public static ArrayImage? Elementwise(ImageOptions options, SampleSource source)
    {
        if (options.Scale == 1 && options.Mean.All(m => m == 0) && options.Std.All(s => s == 1))
            return null;
        // One row of pixels with one channel: whatever the axes are.
        return new(options, source, ArrayLayout.Nhwc, (checked((int)Onnx.ElementTypes.Count(source.SampleShape)), 1, 1));
    }

    /// <summary>The samples as images, or null when they do not have the axes of one.</summary>
    public static ArrayImage? Of(ImageOptions options, SampleSource source) =>
        Axes(options, source.SampleShape) is var (layout, size) ? new(options, source, layout, size) : null;

    /// <summary>What the options make of a sample's shape, for messages.</summary>
    public static string Outcome(SampleSource source, ImageOptions options)
    {
        if (!Needed(options))
            return "";
        return Of(options, source) is { } image
            ? $"; after the image options a sample is {DatasetError.Describe(image.Shape(channelsLast: false))} or {DatasetError.Describe(image.Shape(channelsLast: true))}"
            : "; the image options need samples of height, width and channels, and 'layout' where the order is not plain";
    }

    /// <summary>The shape of a transformed sample.</summary>
    public long[] Shape(bool channelsLast) => channelsLast
        ? [_to.Height, _to.Width, _transform.Channels]
        : [_transform.Channels, _to.Height, _to.Width];

    /// <summary>Transforms one sample.</summary>
    public void Apply(ReadOnlySpan<byte> sample, Span<float> result)
    {
        if (_source.Type == DataType.Uint8)
        {
            _transform.Apply(new Raster<byte>(_from.Width, _from.Height, _from.Channels, Interleaved(sample)), ChannelsLast, result, ImageName);
            return;
        }

        var values = new Tensor(_source.Type, _source.SampleShape, sample.ToArray()).ToFloats();
        _transform.Apply(new Raster<float>(_from.Width, _from.Height, _from.Channels, Interleaved<float>(values)), ChannelsLast, result, ImageName);
    }

    private T[] Interleaved<T>(ReadOnlySpan<T> sample) where T : unmanaged
    {
        if (_layout == ArrayLayout.Nhwc || _from.Channels == 1)
            return sample.ToArray();
        var result = new T[sample.Length];
        var pixels = _from.Width * _from.Height;
        for (var c = 0; c < _from.Channels; c++)
        {
            for (var i = 0; i < pixels; i++)
                result[i * _from.Channels + c] = sample[c * pixels + i];
        }

        return result;
    }

    private static (ArrayLayout Layout, (int Width, int Height, int Channels) Size)? Axes(ImageOptions options, long[] shape)
    {
        // A batch axis of 1 that every sample brings along.
        if (shape.Length == 4 && shape[0] == 1)
            shape = shape[1..];
        if (shape.Any(d => d > 1 << 24))
            return null;
        switch (shape.Length)
        {
            case 1 when options.Layout is null:
                return (ArrayLayout.Nhwc, (1, 1, (int)shape[0]));
            case 2:
                return (ArrayLayout.Nhwc, ((int)shape[1], (int)shape[0], 1));
            case 3:
                var layout = options.Layout ?? (shape[0] is 1 or 3 ? ArrayLayout.Nchw : shape[2] is 1 or 3 ? ArrayLayout.Nhwc : null);
                return layout switch
                {
                    ArrayLayout.Nchw => (ArrayLayout.Nchw, ((int)shape[2], (int)shape[1], (int)shape[0])),
                    ArrayLayout.Nhwc => (ArrayLayout.Nhwc, ((int)shape[1], (int)shape[0], (int)shape[2])),
                    _ => null,
                };
            default:
                return null;
        }
    }
}
