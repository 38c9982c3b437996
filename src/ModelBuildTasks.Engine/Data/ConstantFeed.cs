using System.Runtime.InteropServices;
using ModelBuildTasks.Engine.Hashing;
using ModelBuildTasks.Engine.Manifest;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Data;

/// <summary>The same values for every sample.</summary>
internal sealed class ConstantFeed : Feed
{
    private readonly ValueSource _plan;
    private readonly InputFit _fit;
    private readonly byte[] _values;

    /// <summary>Fits values: one for all elements, or as many as the input has.</summary>
    /// <param name="input">The model's input.</param>
    /// <param name="plan">The values.</param>
    /// <param name="others">Fitted inputs, whose free dimensions are taken over where the model declares the same shape.</param>
    public ConstantFeed(ValueDescription input, ValueSource plan, IEnumerable<Feed> others) : base(input)
    {
        _plan = plan;
        _fit = plan.Values.Count == 1
            ? FreeDims.Resolve(input, others)
            : List(input, plan.Values.Count) ?? throw DatasetError.DoesNotFit($"{DatasetError.Describe(input)}; 'value' has {plan.Values.Count} numbers", plan.Location);
        _values = new byte[plan.Values.Count * ElementConversion.Size(input.Type)];
        var problem = ElementConversion.Convert(DataType.Double, MemoryMarshal.AsBytes<double>(plan.Values.ToArray()), input.Type, _values);
        if (problem is not null)
            throw DatasetError.DoesNotFit($"{DatasetError.Describe(input)}; 'value' does not fit: {problem}", plan.Location);
    }

    public override long SampleBytes => Bytes(Input.Type, _fit.Dims) ?? long.MaxValue;

    public override IFeedReader Open() => new Reader(this);

    public override void AddTo(ContentHasher hash)
    {
        AddInputTo(hash);
        hash.Add(_fit.Dims);
        hash.Add(_plan.Values);
    }

    // A fixed first dimension may or may not be a batch axis; a constant fills it either way.
    private static InputFit? List(ValueDescription input, int count)
    {
        if (input.Shape is not { Length: > 0 } declared)
            return input.Shape is null ? new([count], Batched: false, null) : null;
        if (InputFit.Fill(declared[1..], count) is { } dims)
            return declared[0] < 0 ? new(dims, Batched: true, null) : new([declared[0], .. dims], Batched: false, null);
        return InputFit.Fill(declared, count) is { } whole ? new(whole, Batched: false, null) : null;
    }

    private sealed class Reader(ConstantFeed feed) : IFeedReader
    {
        public Tensor Read(ReadOnlySpan<long> samples)
        {
            var tensor = feed.Room(feed._fit.RunShape(samples.Length), feed._plan.Location);
            var filled = Math.Min(feed._values.Length, tensor.Bytes.Length);
            feed._values.AsSpan(0, filled).CopyTo(tensor.Bytes);
            // Doubling what is there.
            for (; filled > 0 && filled < tensor.Bytes.Length; filled *= 2)
                tensor.Bytes.AsSpan(0, Math.Min(filled, tensor.Bytes.Length - filled)).CopyTo(tensor.Bytes.AsSpan(filled));
            return tensor;
        }

        public void Dispose()
        {
        }
    }
}
