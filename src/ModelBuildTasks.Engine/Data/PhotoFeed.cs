using System.Runtime.InteropServices;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Hashing;
using ModelBuildTasks.Engine.Manifest;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Data;

/// <summary>Photos, decoded one by one when they are asked for.</summary>
internal sealed class PhotoFeed : Feed
{
    private readonly ImagesSource _plan;
    private readonly IReadOnlyList<string> _files;
    private readonly ImageTransform _transform;

    /// <summary>Fits photos; where their size follows from the files, the headers of the chosen ones are read.</summary>
    /// <param name="input">The model's input.</param>
    /// <param name="plan">What the manifest asks for.</param>
    /// <param name="files">The files that the pattern names, in order.</param>
    /// <param name="order">The samples that will be read.</param>
    public PhotoFeed(ValueDescription input, ImagesSource plan, IReadOnlyList<string> files, SampleOrder order) : base(input)
    {
        (_plan, _files) = (plan, files);
        _transform = new(plan.Image, 3, isPhoto: true, plan.Location);
        if (ImageTransform.FixedSize(plan.Image) is { } size)
        {
            (Fit, _) = FitOf(size, "a photo");
            SampleBytes = Size(Fit);
            return;
        }

        var sizes = new HashSet<(int, int)>();
        for (long i = 0; i < order.Count; i++)
        {
            var file = files[(int)order[i]];
            var name = $"the photo '{Path.GetFileName(file)}'";
            var header = PhotoDecoder.ReadHeader(file, plan.Location);
            var photo = _transform.SizeOf(header.Width, header.Height, name);
            if (!sizes.Add(photo))
                continue;
            var (fit, _) = FitOf(photo, name);
            SampleBytes = Math.Max(SampleBytes, Size(fit));
            Fit = sizes.Count == 1 ? fit : null;
            if (sizes.Count > 1 && fit.RunBatch is > 1)
                throw DatasetError.DoesNotFit($"{DatasetError.Describe(input)}, which takes {fit.RunBatch} photos of one size; give them one with 'resize' or 'crop'", plan.Location);
        }

        RunBatch = sizes.Count > 1 ? 1 : Fit!.RunBatch;
    }

    public override InputFit? Fit { get; }

    public override int? RunBatch { get; }

    public override long SampleBytes { get; }

    public override IFeedReader Open() => new Reader(this);

    public override void AddTo(ContentHasher hash)
    {
        AddInputTo(hash);
        ImageOptionsHash.Add(hash, _plan.Image);
        hash.Add(_files.Count);
        foreach (var file in _files)
            hash.AddFile(file, _plan.Location);
    }

    private long Size(InputFit fit) => Bytes(Input.Type, fit.Dims) ?? long.MaxValue;

    private (InputFit Fit, bool ChannelsLast) FitOf((int Width, int Height) size, string name)
    {
        long[] first = [_transform.Channels, size.Height, size.Width];
        long[] last = [size.Height, size.Width, _transform.Channels];
        foreach (var exact in new[] { true, false })
        {
            if (InputFit.Find(Input.Shape, first, exact) is { } channelsFirst)
                return (channelsFirst, false);
            if (InputFit.Find(Input.Shape, last, exact) is { } channelsLast)
                return (channelsLast, true);
        }

        throw DatasetError.DoesNotFit(
            $"{DatasetError.Describe(Input)}; {name} becomes {DatasetError.Describe(first)} or {DatasetError.Describe(last)}. "
            + "'resize' and 'crop' decide width and height, 'channels' (RGB, BGR, GRAY) their number.", _plan.Location);
    }

    private sealed class Reader(PhotoFeed feed) : IFeedReader
    {
        public Tensor Read(ReadOnlySpan<long> samples)
        {
            Tensor? tensor = null;
            for (var i = 0; i < samples.Length; i++)
            {
                var file = feed._files[(int)samples[i]];
                var name = $"the photo '{Path.GetFileName(file)}'";
                var photo = PhotoDecoder.Read(file, feed._plan.Location);
                var (fit, channelsLast) = feed.FitOf(feed._transform.SizeOf(photo.Width, photo.Height, name), name);
                tensor ??= feed.Room(fit.RunShape(samples.Length), feed._plan.Location);
                var size = tensor.Bytes.Length / samples.Length;
                var values = new float[size / ElementConversion.Size(feed.Input.Type)];
                feed._transform.Apply(photo, channelsLast, values, name);
                var problem = ElementConversion.Convert(DataType.Float, MemoryMarshal.AsBytes<float>(values), feed.Input.Type, tensor.Bytes.AsSpan(i * size, size), round: true);
                if (problem is not null)
                    throw DatasetError.DoesNotFit($"{DatasetError.Describe(feed.Input)}; {name} does not fit: {problem}", feed._plan.Location);
            }

            return tensor!;
        }

        public void Dispose()
        {
        }
    }
}
