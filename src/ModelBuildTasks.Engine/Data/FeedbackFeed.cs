using System.Runtime.InteropServices;
using ModelBuildTasks.Engine.Hashing;
using ModelBuildTasks.Engine.Manifest;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Data;

/// <summary>The initial value of an input that gets an output of the run before.</summary>
internal sealed class FeedbackFeed : Feed
{
    private readonly FeedbackSource _plan;
    private readonly long[] _shape;

    /// <summary>Fits the initial value to the declared shape, free dimensions being 1.</summary>
    public FeedbackFeed(ValueDescription input, FeedbackSource plan) : base(input)
    {
        _plan = plan;
        _shape = input.Shape?.Select(d => d < 0 ? 1 : d).ToArray()
            ?? throw DatasetError.DoesNotFit($"{DatasetError.Describe(input)}; 'feedback' begins with a value of the declared shape", plan.Location);
        if (ElementConversion.Convert(DataType.Double, MemoryMarshal.AsBytes<double>([plan.Initial]), input.Type, new byte[ElementConversion.Size(input.Type)]) is { } problem)
            throw DatasetError.DoesNotFit($"{DatasetError.Describe(input)}; 'initial' does not fit: {problem}", plan.Location);
    }

    /// <summary>The output that is fed back.</summary>
    public string Output => _plan.Output;

    public override long SampleBytes => Bytes(Input.Type, _shape) ?? long.MaxValue;

    /// <summary>Refuses an output that the model does not have, or that is of another type than the input.</summary>
    public static void Check(ValueDescription input, FeedbackSource plan, IReadOnlyList<ValueDescription> outputs)
    {
        var output = outputs.FirstOrDefault(o => o.Name == plan.Output);
        if (output is null)
        {
            throw DatasetError.DoesNotFit(
                $"The model has no output '{plan.Output}' to feed back as '{input.Name}'.{NearestName.Hint(plan.Output, outputs.Select(o => o.Name))} Its outputs are {string.Join(", ", outputs.Select(o => $"'{o.Name}'"))}.",
                plan.Location);
        }

        if (output.Type != DataType.Undefined && output.Type != input.Type)
            throw DatasetError.DoesNotFit($"{DatasetError.Describe(input)}; the output '{plan.Output}', which is to be fed back, is {DatasetError.Describe(output.Type, output.Shape)}", plan.Location);
    }

    public override IFeedReader Open() => new Reader(this);

    public override void AddTo(ContentHasher hash)
    {
        AddInputTo(hash);
        hash.Add($"feedback {Output}");
        hash.Add(_shape);
        hash.Add(_plan.Initial);
    }

    private sealed class Reader(FeedbackFeed feed) : IFeedReader
    {
        public Tensor Read(ReadOnlySpan<long> samples)
        {
            var tensor = feed.Room(feed._shape, feed._plan.Location);
            if (feed._plan.Initial == 0)
                return tensor;
            var size = ElementConversion.Size(feed.Input.Type);
            var value = tensor.Bytes.AsSpan(0, Math.Min(size, tensor.Bytes.Length));
            if (!value.IsEmpty)
                _ = ElementConversion.Convert(DataType.Double, MemoryMarshal.AsBytes<double>([feed._plan.Initial]), feed.Input.Type, value);
            for (var filled = value.Length; filled > 0 && filled < tensor.Bytes.Length; filled *= 2)
                tensor.Bytes.AsSpan(0, Math.Min(filled, tensor.Bytes.Length - filled)).CopyTo(tensor.Bytes.AsSpan(filled));
            return tensor;
        }

        public void Dispose()
        {
        }
    }
}
