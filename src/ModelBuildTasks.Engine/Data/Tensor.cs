using System.Collections.ObjectModel;
using System.Runtime.InteropServices;
using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Data;

/// <summary>A dense array in memory: row-major, little-endian.</summary>
/// <param name="Type">Element type; float32, float16, float64, bool or an 8- to 64-bit integer.</param>
/// <param name="Shape">Dimensions; empty for a scalar.</param>
/// <param name="Bytes">The values.</param>
public sealed record Tensor(DataType Type, long[] Shape, byte[] Bytes)
{
    /// <summary>Number of elements.</summary>
    public long Count => ElementTypes.Count(Shape);

    /// <summary>The values as a span of the element type's C# counterpart.</summary>
    public Span<T> As<T>() where T : unmanaged => MemoryMarshal.Cast<byte, T>(Bytes.AsSpan());

    /// <summary>A tensor of the given values.</summary>
    public static Tensor Of<T>(DataType type, long[] shape, ReadOnlySpan<T> values) where T : unmanaged =>
        new(type, shape, MemoryMarshal.AsBytes(values).ToArray());

    /// <summary>The values as float32, whatever the element type.</summary>
    public float[] ToFloats()
    {
        var result = new float[Count];
        switch (Type)
        {
            case DataType.Float: As<float>().CopyTo(result); break;
            case DataType.Float16: System.Numerics.Tensors.TensorPrimitives.ConvertToSingle(As<Half>(), result); break;
            case DataType.Double: Convert<double>(result, v => (float)v); break;
            case DataType.Int64: Convert<long>(result, v => v); break;
            case DataType.Uint64: Convert<ulong>(result, v => v); break;
            case DataType.Int32: Convert<int>(result, v => v); break;
            case DataType.Uint32: Convert<uint>(result, v => v); break;
            case DataType.Int16: Convert<short>(result, v => v); break;
            case DataType.Uint16: Convert<ushort>(result, v => v); break;
            case DataType.Int8: Convert<sbyte>(result, v => v); break;
            case DataType.Uint8 or DataType.Bool: Convert<byte>(result, v => v); break;
            default: throw new InvalidOperationException($"{ElementTypes.Name(Type)} has no float values");
        }

        return result;
    }

    private void Convert<T>(float[] result, Func<T, float> convert) where T : unmanaged
    {
        var values = As<T>();
        for (var i = 0; i < values.Length; i++)
            result[i] = convert(values[i]);
    }
}

/// <summary>What a model says of one of its inputs or outputs.</summary>
/// <param name="Name">The value's name.</param>
/// <param name="Type">Element type.</param>
/// <param name="Shape">Dimensions; -1 where the model leaves them free. Null when even the rank is free.</param>
public sealed record ValueDescription(string Name, DataType Type, long[]? Shape);

/// <summary>One run's inputs.</summary>
/// <param name="Inputs">A tensor for each model input.</param>
/// <param name="Labels">Labels of the samples, flattened (one a sample, or one a position), or null.</param>
/// <param name="Count">Samples in the batch.</param>
public sealed record Batch(IReadOnlyDictionary<string, Tensor> Inputs, long[]? Labels, int Count)
{
    /// <summary>
    /// Whether a sequence starts here: inputs that are fed back (<see cref="IDataset.Feedback"/>) take the value in <see cref="Inputs"/>,
    /// which is the initial one, and not the output of the run before. False for data without feedback.
    /// </summary>
    public bool SequenceStart { get; init; }
}

/// <summary>A dataset fitted to a model. Enumerating reads files as it goes; two enumerations give the same values.</summary>
public interface IDataset
{
    /// <summary>Samples in all.</summary>
    long Count { get; }

    /// <summary>Whether batches carry labels.</summary>
    bool HasLabels { get; }

    /// <summary>What the data is, for reports: the dataset's name and its narrowing, or "random (seed 0)".</summary>
    string Description { get; }

    /// <summary>SHA-256 over everything that decides the values, in hex: the files' contents and the options.</summary>
    string ContentHash { get; }

    /// <summary>
    /// For streaming models: outputs of the model by the inputs that they are fed back to. Then batches hold one sample, must be run in
    /// order, and each model that is run on them gets its own outputs. Empty for data whose samples do not depend on each other.
    /// </summary>
    IReadOnlyDictionary<string, string> Feedback => ReadOnlyDictionary<string, string>.Empty;

    /// <summary>The batches, in order.</summary>
    IEnumerable<Batch> Batches();
}
