using System.Runtime.InteropServices;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Quantization.Bits;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.Quantization.Storage;

/// <summary>
/// Float constants of few distinct values, such as attention masks, are stored as one byte an element or less and a table of the values. The
/// runtime looks the values up when it loads the model: nothing is rounded.
/// </summary>
internal static class ExactPalettes
{
    private const int MostValues = 256;

    // Two nodes, a table and their names.
    private const int Overhead = 200;

    // Three more nodes and their constants.
    private const int PackedOverhead = 500;

    /// <summary>Stores what is left in float in the main graph and has few values as codes.</summary>
    /// <returns>Bytes that are no longer stored.</returns>
    public static long Apply(RewriteContext context)
    {
        var model = context.Model;
        var graph = model.Graph;
        var listed = graph.Input.Select(i => i.Name).Concat(graph.Output.Select(o => o.Name)).ToHashSet();
        // Runtimes look at scales before they compute constants, and fuse nothing with one that is not there.
        listed.UnionWith(graph.WithBodies().SelectMany(g => g.Node).Where(n => n.OpType is "QuantizeLinear" or "DequantizeLinear").SelectMany(n => n.Input));
        var gone = new HashSet<TensorProto>(ReferenceEqualityComparer.Instance);
        var nodes = new List<NodeProto>();
        long saved = 0;
        foreach (var tensor in graph.Initializer.ToList())
        {
            var length = model.ByteLength(tensor);
            if ((DataType)tensor.DataType != DataType.Float || length * 3 / 4 <= Overhead || listed.Contains(tensor.Name) || Codes(model, tensor) is not { } palette)
                continue;
            var width = Width(palette.Values.Length, palette.Codes.Length, model.Opset);
            var less = length - BitPacking.Length(palette.Codes.Length, width) - 4L * palette.Values.Length - (width == 8 ? Overhead : PackedOverhead);
            if (less <= 0)
                continue;
            var codes = width == 8 ? context.Add<byte>(graph, "c", DataType.Uint8, tensor.Dims, palette.Codes) : Packed(context, graph, tensor, palette.Codes, width, nodes);
            var values = context.Add<float>(graph, "t", DataType.Float, [palette.Values.Length], palette.Values);
            var picked = context.Fresh("i");
            // Gather takes no bytes as indices.
            nodes.Add(GraphExtensions.Node("Cast", [codes], [picked]).Set("to", (long)DataType.Int32));
            nodes.Add(GraphExtensions.Node("Gather", [values, picked], [tensor.Name]));
            gone.Add(tensor);
            saved += less;
        }

        if (gone.Count == 0)
            return 0;
        GraphEdit.RemoveInitializers(graph, gone);
        nodes.AddRange(graph.Node);
        graph.Node.Clear();
        graph.Node.AddRange(nodes);
        return saved;
    }

    // Bits that an index takes; of what does not fill whole bytes 8.
    private static int Width(int values, int count, long opset) =>
        opset >= BitUnpacking.Opset ? new[] { 1, 2, 4 }.FirstOrDefault(w => values <= 1 << w && count * (long)w % 8 == 0, 8) : 8;

    private static string Packed(RewriteContext context, GraphProto graph, TensorProto tensor, byte[] codes, int width, List<NodeProto> nodes)
    {
        var (unpacked, shaped) = (BitUnpacking.Unpack(context, graph, codes, width, 0, nodes), context.Fresh("i"));
        nodes.Add(GraphExtensions.Node("Reshape", [unpacked, BitUnpacking.Longs(context, graph, [.. tensor.Dims])], [shaped]));
        return shaped;
    }

    /// <summary>The distinct values in order of their bits (so that -0, NaN and infinities stay what they are), and each element's index; null when there are too many.</summary>
    private static (float[] Values, byte[] Codes)? Codes(OnnxModel model, TensorProto tensor)
    {
        // Most tensors have too many from the start on.
        var head = new float[(int)Math.Min(2 * MostValues, model.ByteLength(tensor) / sizeof(float))];
        model.ReadFloats(tensor, 0, head);
        if (MemoryMarshal.Cast<float, uint>(head).ToArray().Distinct().Skip(MostValues).Any())
            return null;
        var bits = MemoryMarshal.Cast<byte, uint>(model.ReadBytes(tensor));
        var distinct = new SortedSet<uint>();
        foreach (var value in bits)
        {
            if (distinct.Add(value) && distinct.Count > MostValues)
                return null;
        }

        var index = distinct.Select((v, i) => (v, i)).ToDictionary(p => p.v, p => (byte)p.i);
        var codes = new byte[bits.Length];
        for (var i = 0; i < codes.Length; i++)
            codes[i] = index[bits[i]];
        return ([.. distinct.Select(BitConverter.UInt32BitsToSingle)], codes);
    }
}
