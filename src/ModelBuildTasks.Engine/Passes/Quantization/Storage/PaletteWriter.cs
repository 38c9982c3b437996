using System.Runtime.InteropServices;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Quantization.Bits;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.Quantization.Storage;

/// <summary>Codes of a tensor and the values that they stand for.</summary>
/// <param name="Codes">Row-major.</param>
/// <param name="Tables">Values of each group: one table, or one for each index of the middle of [outer, groups, rest].</param>
/// <param name="Outer">Elements of the axes before the groups', of one table 1.</param>
internal sealed record PaletteCodes(byte[] Codes, float[][] Tables, long Outer)
{
    /// <summary>Entries of a table.</summary>
    public int Length => Math.Max(1, Tables.Max(t => t.Length));

    /// <summary>Bits that a code takes.</summary>
    public int Bits => Math.Max(1, 32 - int.LeadingZeroCount(Length - 1));

    /// <summary>Whether float16 has all values exactly.</summary>
    public bool Halves => Array.TrueForAll(Tables, t => Array.TrueForAll(t, v => BitConverter.SingleToUInt32Bits((float)(Half)v) == BitConverter.SingleToUInt32Bits(v)));

    /// <summary>The tensors that are stored.</summary>
    /// <param name="bits">Bits that a code is given.</param>
    public IEnumerable<byte[]> Payloads(int bits)
    {
        var shift = 0;
        foreach (var width in BitPacking.Fields(bits))
        {
            yield return BitPacking.Pack(Codes, width, shift);
            shift += width;
        }

        float[] table = [.. Tables.SelectMany(t => t)];
        yield return Halves ? MemoryMarshal.AsBytes<Half>(table.Select(v => (Half)v).ToArray()).ToArray() : MemoryMarshal.AsBytes(table.AsSpan()).ToArray();
    }

    /// <summary>Bytes of codes and tables in the file.</summary>
    /// <param name="bits">Bits that a code is given.</param>
    public long Bytes(int bits) => BitPacking.Length(Codes.Length, bits) + Tables.Length * (long)Length * (Halves ? 2 : 4);
}

/// <summary>
/// Writes tensors as codes and a table from which a Gather picks: a constant expression that the runtime computes when it loads the model, exactly.
/// </summary>
internal sealed class PaletteWriter(RewriteContext context)
{
    // Nodes, constants and their names, as measured on written files.
    private const int BytesOverhead = 200;
    private const int PackedOverhead = 500;
    private const int FieldOverhead = 220;

    /// <summary>Bytes of nodes and names.</summary>
    public static int Overhead(int bits) => bits == 8 ? BytesOverhead : PackedOverhead + FieldOverhead * (BitPacking.Fields(bits).Count - 1);

    /// <summary>Nodes that decode a palette.</summary>
    public static int NodeCount(PaletteCodes palette, int bits) =>
        (palette.Halves ? 3 : 2) + (bits == 8 ? 0 : 3 * BitPacking.Fields(bits).Count + 3 * (BitPacking.Fields(bits).Count - 1)) + (palette.Tables.Length > 1 ? 2 : 0);

    /// <summary>The widths in which codes can be stored, the narrowest first.</summary>
    /// <param name="palette">The codes.</param>
    /// <param name="opset">Of the model.</param>
    public static IEnumerable<int> Widths(PaletteCodes palette, long opset) => opset < BitUnpacking.Opset || palette.Bits == 8 ? [8] : [palette.Bits, 8];

    /// <summary>Makes the value of an initializer out of codes.</summary>
    /// <param name="graph">The graph that has the initializer; the caller removes it.</param>
    /// <param name="tensor">The initializer: name, type float32 or float16, dimensions.</param>
    /// <param name="palette">Codes and tables.</param>
    /// <param name="bits">Bits that a code is given: enough, or 8.</param>
    /// <param name="nodes">Gets what decodes it.</param>
    public void Write(GraphProto graph, TensorProto tensor, PaletteCodes palette, int bits, List<NodeProto> nodes)
    {
        var (groups, length) = (palette.Tables.Length, palette.Length);
        long[] shape = groups == 1 ? [.. tensor.Dims] : [palette.Outer, groups, palette.Codes.Length / (palette.Outer * groups)];
        var index = bits == 8 ? Bytes(graph, palette.Codes, shape, nodes) : Packed(graph, palette.Codes, bits, shape, nodes);
        if (groups > 1)
        {
            var offsets = context.Shared<int>(graph, $"offsets {groups} {length}", "c", DataType.Int32, [groups, 1], [.. Enumerable.Range(0, groups).Select(g => g * length)]);
            index = Node("Add", [index, offsets], nodes);
        }

        // Short tables are filled up: no code reaches there.
        float[] values = [.. palette.Tables.SelectMany(t => t.Concat(Enumerable.Repeat(0f, length - t.Length)))];
        var table = Table(graph, (DataType)tensor.DataType, values, palette.Halves, nodes);
        var picked = groups == 1 ? tensor.Name : context.Fresh("i");
        nodes.Add(GraphExtensions.Node("Gather", [table, index], [picked]));
        if (groups > 1)
            nodes.Add(GraphExtensions.Node("Reshape", [picked, BitUnpacking.Longs(context, graph, [.. tensor.Dims])], [tensor.Name]));
    }

    private string Table(GraphProto graph, DataType type, float[] values, bool halves, List<NodeProto> nodes)
    {
        if (type == DataType.Float && !halves)
            return context.Add<float>(graph, "t", DataType.Float, [values.Length], values);
        var stored = context.Add<Half>(graph, "t", DataType.Float16, [values.Length], [.. values.Select(v => (Half)v)]);
        return type == DataType.Float16 ? stored : Cast(stored, type, nodes);
    }

    private string Bytes(GraphProto graph, byte[] codes, long[] shape, List<NodeProto> nodes) =>
        // Gather takes no bytes as indices.
        Cast(context.Add<byte>(graph, "c", DataType.Uint8, shape, codes), DataType.Int32, nodes);

    private string Packed(GraphProto graph, byte[] codes, int bits, long[] shape, List<NodeProto> nodes)
    {
        string? sum = null;
        var shift = 0;
        foreach (var width in BitPacking.Fields(bits))
        {
            var field = Cast(BitUnpacking.Unpack(context, graph, codes, width, shift, nodes), DataType.Int32, nodes);
            if ((long)codes.Length * width % 8 != 0)
                field = Node("Slice", [Reshaped(graph, field, [-1], nodes), BitUnpacking.Longs(context, graph, 0), BitUnpacking.Longs(context, graph, codes.Length)], nodes);
            field = Reshaped(graph, field, shape, nodes);
            if (shift > 0)
                field = Node("Mul", [field, context.Shared<int>(graph, $"int {1 << shift}", "c", DataType.Int32, [], [1 << shift])], nodes);
            sum = sum is null ? field : Node("Add", [sum, field], nodes);
            shift += width;
        }

        return sum!;
    }

    private string Reshaped(GraphProto graph, string value, long[] shape, List<NodeProto> nodes) => Node("Reshape", [value, BitUnpacking.Longs(context, graph, shape)], nodes);

    private string Cast(string value, DataType type, List<NodeProto> nodes)
    {
        var result = context.Fresh("i");
        nodes.Add(GraphExtensions.Node("Cast", [value], [result]).Set("to", (long)type));
        return result;
    }

    private string Node(string op, string[] inputs, List<NodeProto> nodes)
    {
        var result = context.Fresh("i");
        nodes.Add(GraphExtensions.Node(op, inputs, [result]));
        return result;
    }
}
