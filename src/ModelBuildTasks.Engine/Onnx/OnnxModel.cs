using System.Buffers;
using System.Numerics.Tensors;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using ModelBuildTasks.Engine.Data;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Onnx;

/// <summary>
/// An ONNX model: the graph as protobuf messages without tensor payloads, and the payloads in a store beside it.
/// A model is treated as immutable once it is shared: a pass clones it, edits the clone and returns it.
/// </summary>
public sealed class OnnxModel : IDisposable
{
    // Halves and doubles are converted in parts of this many.
    private const int ConversionLength = 1 << 14;

    internal OnnxModel(ModelProto proto, PayloadStore payloads, string? path = null)
    {
        Proto = proto;
        Payloads = payloads;
        SourcePath = path;
    }

    /// <summary>The messages. Tensor values are not in them: see <see cref="ReadBytes"/>.</summary>
    public ModelProto Proto { get; }

    /// <summary>The payloads of all tensors, shared with clones.</summary>
    internal PayloadStore Payloads { get; }

    /// <summary>The file the model was read from.</summary>
    public string? SourcePath { get; }

    /// <summary>The main graph.</summary>
    public GraphProto Graph => Proto.Graph;

    /// <summary>
    /// The inputs that a caller must give, in the model's order, as the model declares them: initializers that are listed as
    /// inputs have a value already. What is not a tensor is of an undefined type.
    /// </summary>
    public IReadOnlyList<ValueDescription> Inputs
    {
        get
        {
            var given = Graph.Initializer.Select(t => t.Name).ToHashSet();
            return [.. Graph.Input.Where(i => !given.Contains(i.Name)).Select(i => ValueTypes.Describe(i) ?? new(i.Name, DataType.Undefined, null))];
        }
    }

    /// <summary>The outputs in the model's order, as the model declares them. What is not a tensor, or has no declared type, is of an undefined type.</summary>
    public IReadOnlyList<ValueDescription> Outputs => [.. Graph.Output.Select(o => ValueTypes.Describe(o) ?? new(o.Name, DataType.Undefined, null))];

    /// <summary>The version of the default operator set.</summary>
    public long Opset
    {
        get => Proto.OpsetImport.FirstOrDefault(o => o.Domain is "" or "ai.onnx")?.Version ?? 1;
        set
        {
            var import = Proto.OpsetImport.FirstOrDefault(o => o.Domain is "" or "ai.onnx");
            if (import is null)
                Proto.OpsetImport.Add(import = new OperatorSetIdProto { Domain = "" });
            import.Version = value;
        }
    }

    /// <summary>Reads a model; tensor values stay in the file, and in its external data files, until they are asked for.</summary>
    /// <exception cref="Diagnostics.ModelBuildException">MBT2001-MBT2003: no model, a damaged model, or bad external data.</exception>
    public static OnnxModel Load(string path) => ModelReader.Load(path);

    /// <summary>An independent copy of the graph; payloads are shared.</summary>
    public OnnxModel Clone() => new(Proto.Clone(), Payloads, SourcePath);

    /// <summary>Writes the model to <paramref name="path"/>, through a temporary file that is renamed at the end.</summary>
    public void Save(string path) => ModelWriter.Save(this, path);

    /// <summary>The model as one byte array. For models below 2 GB.</summary>
    public byte[] ToBytes() => ModelWriter.ToBytes(this);

    /// <summary>Raw bytes of a tensor (little-endian, row-major); empty for a tensor without values.</summary>
    public byte[] ReadBytes(TensorProto tensor) => tensor.HasPayloadRef ? Payloads[tensor.PayloadRef].ToArray(tensor) : [];

    /// <summary>Bytes of a tensor's values; 0 for a tensor without values.</summary>
    internal long ByteLength(TensorProto tensor) => tensor.HasPayloadRef ? Payloads[tensor.PayloadRef].Length : 0;

    /// <summary>Values of a float32, float16, bfloat16 or float64 tensor as float32.</summary>
    /// <exception cref="InvalidOperationException">Another element type.</exception>
    public float[] ReadFloats(TensorProto tensor)
    {
        var type = (DataType)tensor.DataType;
        if (!ElementTypes.IsFloat(type))
            throw new InvalidOperationException($"tensor '{tensor.Name}' is not a float tensor");
        var values = GC.AllocateUninitializedArray<float>(TooLarge.Checked(ByteLength(tensor) * 8 / ElementTypes.Bits(type), tensor));
        ReadFloats(tensor, 0, values);
        return values;
    }

    /// <summary>Some values of a float32, float16, bfloat16 or float64 tensor as float32.</summary>
    /// <param name="tensor">The tensor.</param>
    /// <param name="first">Index of the first element.</param>
    /// <param name="destination">Gets as many as it holds.</param>
    /// <exception cref="InvalidOperationException">Another element type.</exception>
    internal void ReadFloats(TensorProto tensor, long first, Span<float> destination)
    {
        if (destination.IsEmpty)
            return;
        var payload = Payloads[tensor.PayloadRef];
        switch ((DataType)tensor.DataType)
        {
            case DataType.Float:
                payload.Read(first * 4, MemoryMarshal.AsBytes(destination));
                break;
            case DataType.Float16:
                Convert<Half>(payload, first, destination, TensorPrimitives.ConvertToSingle);
                break;
            case DataType.Bfloat16:
                Convert<ushort>(payload, first, destination, static (from, to) =>
                {
                    for (var i = 0; i < from.Length; i++)
                        to[i] = BitConverter.UInt32BitsToSingle((uint)from[i] << 16);
                });
                break;
            case DataType.Double:
                Convert<double>(payload, first, destination, static (from, to) =>
                {
                    for (var i = 0; i < from.Length; i++)
                        to[i] = (float)from[i];
                });
                break;
            default:
                throw new InvalidOperationException($"tensor '{tensor.Name}' is not a float tensor");
        }
    }

    private delegate void Conversion<T>(ReadOnlySpan<T> from, Span<float> to);

    private static void Convert<T>(Payload payload, long first, Span<float> destination, Conversion<T> convert) where T : unmanaged
    {
        var buffer = ArrayPool<T>.Shared.Rent(Math.Min(destination.Length, ConversionLength));
        try
        {
            while (!destination.IsEmpty)
            {
                var part = buffer.AsSpan(0, Math.Min(destination.Length, ConversionLength));
                payload.Read(first * Unsafe.SizeOf<T>(), MemoryMarshal.AsBytes(part));
                convert(part, destination[..part.Length]);
                first += part.Length;
                destination = destination[part.Length..];
            }
        }
        finally
        {
            ArrayPool<T>.Shared.Return(buffer);
        }
    }

    /// <summary>Values of an integer or boolean tensor as int64.</summary>
    /// <exception cref="InvalidOperationException">Another element type.</exception>
    public long[] ReadInt64s(TensorProto tensor)
    {
        var bytes = ReadBytes(tensor);
        return (DataType)tensor.DataType switch
        {
            DataType.Int64 => MemoryMarshal.Cast<byte, long>(bytes).ToArray(),
            DataType.Int32 => Widen<int>(bytes, v => v),
            DataType.Uint32 => Widen<uint>(bytes, v => v),
            DataType.Int16 => Widen<short>(bytes, v => v),
            DataType.Uint16 => Widen<ushort>(bytes, v => v),
            DataType.Int8 => Widen<sbyte>(bytes, v => v),
            DataType.Uint8 or DataType.Bool => Widen<byte>(bytes, v => v),
            DataType.Uint64 => Widen<ulong>(bytes, v => unchecked((long)v)),
            _ => throw new InvalidOperationException($"tensor '{tensor.Name}' is not an integer tensor"),
        };
    }

    /// <summary>Makes a tensor message whose payload is <paramref name="raw"/>. It is not added to the graph.</summary>
    public TensorProto CreateTensor(string name, DataType type, IEnumerable<long> dims, ReadOnlyMemory<byte> raw)
    {
        var tensor = new TensorProto { Name = name, DataType = (int)type };
        tensor.Dims.AddRange(dims);
        if (raw.Length != ElementTypes.ByteLength(type, ElementTypes.Count(tensor.Dims)))
            throw new ArgumentException($"tensor '{name}': {raw.Length} bytes do not fill its shape", nameof(raw));
        tensor.PayloadRef = Payloads.Add(raw);
        return tensor;
    }

    /// <summary>Makes a tensor message of unmanaged values, such as <c>float[]</c> or <c>long[]</c>, in row-major order.</summary>
    public TensorProto CreateTensor<T>(string name, DataType type, IEnumerable<long> dims, ReadOnlySpan<T> values) where T : unmanaged =>
        CreateTensor(name, type, dims, (ReadOnlyMemory<byte>)MemoryMarshal.AsBytes(values).ToArray());

    /// <summary>A float32 tensor.</summary>
    public TensorProto CreateTensor(string name, IEnumerable<long> dims, params float[] values) =>
        CreateTensor<float>(name, DataType.Float, dims, values);

    /// <summary>An int64 tensor of rank 1.</summary>
    public TensorProto CreateTensor(string name, params long[] values) =>
        CreateTensor<long>(name, DataType.Int64, [values.Length], values);

    /// <summary>Closes the files behind the payloads, also those of clones.</summary>
    public void Dispose() => Payloads.Dispose();

    private static long[] Widen<T>(byte[] bytes, Func<T, long> convert) where T : unmanaged =>
        [.. MemoryMarshal.Cast<byte, T>(bytes).ToArray().Select(convert)];
}
