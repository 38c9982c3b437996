using System.Runtime.InteropServices;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Hashing;
using ModelBuildTasks.Engine.Manifest;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Data;

/// <summary>Samples of an array or a table, fitted to one input.</summary>
internal sealed class ArrayFeed : Feed
{
    private readonly SampleSource _source;
    private readonly ArrayImage? _image;
    private readonly ImageOptions _options;

    private ArrayFeed(ValueDescription input, SampleSource source, ImageOptions options, ArrayImage? image, InputFit fit) : base(input) =>
        (_source, _options, _image, Fit) = (source, options, image, fit);

    public override InputFit Fit { get; }

    public override int? RunBatch => Fit.RunBatch;

    public override long SampleBytes => Bytes(Input.Type, Fit.Dims) ?? long.MaxValue;

    /// <summary>Samples in all.</summary>
    public long Count => _source.Count;

    /// <summary>Fits a table.</summary>
    public static ArrayFeed ForTable(ValueDescription input, TableSamples table)
    {
        var columns = table.SampleShape[0];
        var fit = InputFit.Find(input.Shape, [columns], exact: true) ?? InputFit.FindFlat(input.Shape, columns)
            ?? throw DatasetError.DoesNotFit($"{DatasetError.Describe(input)}; {table.Description}", table.Location);
        return new(input, table, ImageOptions.None, null, fit);
    }

    /// <summary>Fits windows of recordings.</summary>
    public static ArrayFeed ForAudio(ValueDescription input, WavSamples windows)
    {
        var fit = InputFit.Find(input.Shape, windows.SampleShape, exact: true) ?? InputFit.Find(input.Shape, windows.SampleShape, exact: false)
            ?? throw DatasetError.DoesNotFit($"{DatasetError.Describe(input)}; {windows.Description}", windows.Location);
        return new(input, windows, ImageOptions.None, null, fit);
    }

    /// <summary>Fits an array, or the whole array as one sample where only that fits.</summary>
    public static ArrayFeed ForArray(ValueDescription input, ArraySamples array, ImageOptions options)
    {
        if (TryFit(input, array, options) is { } feed)
            return feed;
        if (TryFit(input, array.AsOneSample(), options) is { } whole)
            return whole;
        var hint = array.SampleShape.Length == 3 && options.Layout is null && array.SampleShape[2] is 1 or 3
            ? " If its channels come last, say 'layout: NHWC'."
            : "";
        throw DatasetError.DoesNotFit(
            $"{DatasetError.Describe(input)}; {array.Description}, whose first axis counts samples{ArrayImage.Outcome(array, options)}.{hint}", array.Location);
    }

    public override int SequenceOf(long sample) => _source.SequenceOf(sample);

    public override IFeedReader Open() => new Reader(this);

    public override void AddTo(ContentHasher hash)
    {
        AddInputTo(hash);
        ImageOptionsHash.Add(hash, _options);
        _source.AddTo(hash);
    }

    private static ArrayFeed? TryFit(ValueDescription input, ArraySamples array, ImageOptions options)
    {
        var shape = array.SampleShape;
        if (!ArrayImage.Needed(options))
        {
            var fit = InputFit.Find(input.Shape, shape, exact: true) ?? InputFit.Find(input.Shape, shape, exact: false);
            return fit is null ? null : new(input, array, options, ArrayImage.Elementwise(options, array), fit);
        }

        if (ArrayImage.Of(options, array) is not { } image)
            return null;
        foreach (var exact in new[] { true, false })
        {
            foreach (var channelsLast in new[] { false, true })
            {
                if (InputFit.Find(input.Shape, image.Shape(channelsLast), exact) is { } fit)
                    return new(input, array, options, image with { ChannelsLast = channelsLast }, fit);
            }
        }

        return null;
    }

    private sealed class Reader(ArrayFeed feed) : IFeedReader
    {
        private readonly ISampleReader _reader = feed._source.Open();
        private readonly byte[] _sample = new byte[feed._source.SampleBytes];
        private readonly float[] _values = new float[feed._image?.Count ?? 0];

        public Tensor Read(ReadOnlySpan<long> samples)
        {
            var tensor = feed.Room(feed.Fit.RunShape(samples.Length), feed._source.Location);
            var size = tensor.Bytes.Length / samples.Length;
            for (var i = 0; i < samples.Length; i++)
            {
                _reader.Read(samples[i], _sample);
                var target = tensor.Bytes.AsSpan(i * size, size);
                string? problem;
                if (feed._image is null)
                {
                    problem = ElementConversion.Convert(feed._source.Type, _sample, feed.Input.Type, target);
                }
                else
                {
                    feed._image.Apply(_sample, _values);
                    problem = ElementConversion.Convert(DataType.Float, MemoryMarshal.AsBytes<float>(_values), feed.Input.Type, target, round: true);
                }

                if (problem is not null)
                    throw DatasetError.DoesNotFit($"{DatasetError.Describe(feed.Input)}; sample {samples[i]} does not fit: {problem}", feed._source.Location);
            }

            return tensor;
        }

        public void Dispose() => _reader.Dispose();
    }
}
