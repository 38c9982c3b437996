using System.Runtime.InteropServices;
using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.Quantization.Storage;

/// <summary>
/// Float constants of few distinct values, such as attention masks, are stored as one byte an element or less and a table of the values. The
/// runtime looks the values up when it loads the model: nothing is rounded.
/// </summary>
internal static class ExactPalettes
{
    private const int MostValues = 256;
    private const int LeastBytes = 266;

    /// <summary>Stores what is left in float in the main graph and has few values as codes.</summary>
    /// <returns>Bytes that are no longer stored.</returns>
    public static long Apply(RewriteContext context)
    {
        var model = context.Model;
        var graph = model.Graph;
        var listed = graph.Input.Select(i => i.Name).Concat(graph.Output.Select(o => o.Name)).ToHashSet();
        // Runtimes look at scales before they compute constants, and fuse nothing with one that is not there.
        listed.UnionWith(graph.WithBodies().SelectMany(g => g.Node).Where(n => n.OpType is "QuantizeLinear" or "DequantizeLinear").SelectMany(n => n.Input));
        var writer = new PaletteWriter(context);
        var gone = new HashSet<TensorProto>(ReferenceEqualityComparer.Instance);
        var nodes = new List<NodeProto>();
        long saved = 0;
        foreach (var tensor in graph.Initializer.ToList())
        {
            var length = model.ByteLength(tensor);
            if ((DataType)tensor.DataType != DataType.Float || length <= LeastBytes || listed.Contains(tensor.Name) || HasMany(model, tensor) || Codes(MemoryMarshal.Cast<byte, float>(model.ReadBytes(tensor))) is not { } palette)
                continue;
            var bits = PaletteWriter.Widths(palette, model.Opset).MinBy(b => palette.Bytes(b) + PaletteWriter.Overhead(b));
            var less = length - palette.Bytes(bits) - PaletteWriter.Overhead(bits);
            if (less <= 0)
                continue;
            writer.Write(graph, tensor, palette, bits, nodes);
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

    /// <summary>Whether a tensor's beginning has too many distinct values already, as that of most has: the rest need not be read.</summary>
    private static bool HasMany(OnnxModel model, TensorProto tensor)
    {
        var head = new float[(int)Math.Min(2 * MostValues, model.ByteLength(tensor) / sizeof(float))];
        model.ReadFloats(tensor, 0, head);
        return MemoryMarshal.Cast<float, uint>(head).ToArray().Distinct().Skip(MostValues).Any();
    }

    /// <summary>The distinct values in order of their bits (so that -0, NaN and infinities stay what they are), and each element's index; null when there are too many.</summary>
    internal static PaletteCodes? Codes(ReadOnlySpan<float> values)
    {
        var bits = MemoryMarshal.Cast<float, uint>(values);
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
        return new(codes, [[.. distinct.Select(BitConverter.UInt32BitsToSingle)]], 1);
    }
}
