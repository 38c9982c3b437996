using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Hashing;
using ModelBuildTasks.Engine.Manifest;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Data;

/// <summary>Uniform random numbers. A sample's values follow from the seed, the input's name and the sample's index alone.</summary>
internal sealed class RandomFeed : Feed
{
    private readonly RandomSource _plan;
    private readonly InputFit _fit;
    private readonly ulong _seed;
    private readonly Int128 _least;
    private readonly ulong _values;

    /// <summary>Fits random numbers to the model's shape, or the given shape to the model's.</summary>
    /// <param name="input">The model's input.</param>
    /// <param name="plan">Range, seed and shape.</param>
    /// <param name="others">Fitted inputs, whose free dimensions are taken over where the model declares the same shape.</param>
    public RandomFeed(ValueDescription input, RandomSource plan, IEnumerable<Feed> others) : base(input)
    {
        _plan = plan;
        long[] shape = [.. plan.Shape];
        _fit = shape.Length == 0
            ? FreeDims.Resolve(input, others)
            : InputFit.Find(input.Shape, shape, exact: true) ?? InputFit.Find(input.Shape, shape, exact: false)
              ?? throw DatasetError.DoesNotFit($"{DatasetError.Describe(input)}; 'shape' is {DatasetError.Describe(shape)}", plan.Location);
        // FNV-1a, so that inputs of one seed differ.
        _seed = Encoding.UTF8.GetBytes(input.Name).Aggregate(0xCBF29CE484222325 ^ (ulong)plan.Seed, (hash, b) => (hash ^ b) * 0x100000001B3);
        if (!(plan.Min <= plan.Max) || !double.IsFinite(plan.Max - plan.Min))
            throw new ModelBuildException(DiagnosticCodes.InvalidValue, "'min' of random numbers must be at most 'max', and both finite", plan.Location);
        if (ElementConversion.IsInteger(input.Type) || input.Type == DataType.Bool)
            (_least, _values) = Integers(plan, input.Type, DatasetError.Describe(input));
    }

    public override int? RunBatch => _fit.RunBatch;

    public override long SampleBytes => Bytes(Input.Type, _fit.Dims) ?? long.MaxValue;

    public override IFeedReader Open() => new Reader(this);

    public override void AddTo(ContentHasher hash)
    {
        AddInputTo(hash);
        hash.Add(_fit.Dims);
        hash.Add($"{_plan.Min:R} {_plan.Max:R} {_plan.Seed}");
    }

    // The least value, and how many follow one another (0 for all 64-bit values).
    private static (Int128 Least, ulong Values) Integers(RandomSource plan, DataType type, string input)
    {
        var bits = type == DataType.Bool ? 1 : Onnx.ElementTypes.Bits(type);
        var signed = type is DataType.Int8 or DataType.Int16 or DataType.Int32 or DataType.Int64;
        var lowest = signed ? -(Int128.One << (bits - 1)) : 0;
        var highest = (Int128.One << (signed ? bits - 1 : bits)) - 1;
        var least = Int128.Max(lowest, (Int128)Math.Clamp(Math.Ceiling(plan.Min), -1e30, 1e30));
        var most = Int128.Min(highest, (Int128)Math.Clamp(Math.Floor(plan.Max), -1e30, 1e30));
        return least <= most
            ? (least, unchecked((ulong)(most - least + 1)))
            : throw DatasetError.DoesNotFit($"{input}; it has no value from {plan.Min:R} to {plan.Max:R}", plan.Location);
    }

    private void Fill(ref SplitMix64 random, Span<byte> target)
    {
        switch (Input.Type)
        {
            case DataType.Float:
                foreach (ref var value in MemoryMarshal.Cast<byte, float>(target))
                    value = (float)Real(ref random);
                break;
            case DataType.Float16:
                foreach (ref var value in MemoryMarshal.Cast<byte, Half>(target))
                    value = (Half)Real(ref random);
                break;
            case DataType.Double:
                foreach (ref var value in MemoryMarshal.Cast<byte, double>(target))
                    value = Real(ref random);
                break;
            default:
                Span<byte> bytes = stackalloc byte[8];
                var size = ElementConversion.Size(Input.Type);
                for (var at = 0; at < target.Length; at += size)
                {
                    BinaryPrimitives.WriteUInt64LittleEndian(bytes, unchecked((ulong)(_least + random.NextBelow(_values))));
                    bytes[..size].CopyTo(target[at..]);
                }

                break;
        }
    }

    private double Real(ref SplitMix64 random) => _plan.Min + (_plan.Max - _plan.Min) * random.NextDouble();

    private sealed class Reader(RandomFeed feed) : IFeedReader
    {
        public Tensor Read(ReadOnlySpan<long> samples)
        {
            var tensor = feed.Room(feed._fit.RunShape(samples.Length), feed._plan.Location);
            var parts = feed._fit.Batched ? samples.Length : 1;
            var size = tensor.Bytes.Length / parts;
            for (var i = 0; i < parts; i++)
            {
                var random = SplitMix64.Stream(feed._seed, (ulong)samples[i]);
                feed.Fill(ref random, tensor.Bytes.AsSpan(i * size, size));
            }

            return tensor;
        }

        public void Dispose()
        {
        }
    }
}
