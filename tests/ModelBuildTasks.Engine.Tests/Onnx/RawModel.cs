using Google.Protobuf;
using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Tests.Onnx;

/// <summary>Writes model files byte by byte, in forms that the engine's own writer never produces.</summary>
internal static class RawModel
{
    /// <summary>A model with one tensor, whose message is <paramref name="tensor"/>, as an initializer that is its only output.</summary>
    public static byte[] WithTensor(byte[] tensor)
    {
        var graph = new GraphProto { Name = "raw" };
        graph.Node.Add(GraphExtensions.Node("Identity", ["t"], ["y"]));
        graph.Output.Add(new ValueInfoProto { Name = "y" });
        return Model([.. graph.ToByteArray(), .. Field(5, tensor)]);
    }

    /// <summary>A model around the bytes of a graph.</summary>
    public static byte[] Model(byte[] graph)
    {
        var model = new ModelProto { IrVersion = 8 };
        model.OpsetImport.Add(new OperatorSetIdProto { Version = 17 });
        return [.. model.ToByteArray(), .. Field(7, graph)];
    }

    /// <summary>The message of tensor <c>t</c>: type, dimensions and any further fields.</summary>
    public static byte[] Tensor(TensorProto.Types.DataType type, long[] dims, params byte[][] fields)
    {
        var tensor = new TensorProto { Name = "t", DataType = (int)type };
        tensor.Dims.AddRange(dims);
        return [.. tensor.ToByteArray(), .. fields.SelectMany(f => f)];
    }

    /// <summary>A length-delimited field.</summary>
    public static byte[] Field(int number, byte[] content) => [.. Varint(((ulong)number << 3) | 2), .. Varint((ulong)content.Length), .. content];

    /// <summary>A varint field.</summary>
    public static byte[] Field(int number, ulong value) => [.. Varint((ulong)number << 3), .. Varint(value)];

    /// <summary>A field of four or eight bytes.</summary>
    public static byte[] Fixed(int number, byte[] content) => [.. Varint(((ulong)number << 3) | (content.Length == 4 ? 5u : 1u)), .. content];

    /// <summary>Values as varints one behind the other.</summary>
    public static byte[] Varints(IEnumerable<long> values) => [.. values.SelectMany(v => Varint((ulong)v))];

    public static byte[] Varint(ulong value)
    {
        var bytes = new List<byte>();
        for (; value >= 0x80; value >>= 7)
            bytes.Add((byte)(value | 0x80));
        bytes.Add((byte)value);
        return [.. bytes];
    }
}
