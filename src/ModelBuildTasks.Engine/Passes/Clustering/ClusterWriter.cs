using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Quantization;
using ModelBuildTasks.Engine.Passes.Quantization.Storage;
using ModelBuildTasks.Engine.Passes.Storage;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.Clustering;

/// <summary>Puts clustered weights in the place of initializers: what decodes them ends in the initializer's name, so that nothing else changes.</summary>
/// <param name="context">The model being edited.</param>
/// <param name="encoded">Whether the package is entropy-coded.</param>
internal sealed class ClusterWriter(RewriteContext context, bool encoded)
{
    private readonly PaletteWriter _palettes = new(context);
    private readonly Dictionary<GraphProto, List<NodeProto>> _front = new(ReferenceEqualityComparer.Instance);
    private readonly HashSet<TensorProto> _gone = new(ReferenceEqualityComparer.Instance);

    /// <summary>Stores a palette.</summary>
    /// <returns>Bytes of codes and tables.</returns>
    public long Write(GraphProto graph, TensorProto tensor, PaletteCodes palette)
    {
        var bits = PaletteWriter.Widths(palette, context.Model.Opset).MinBy(b => Cost(palette, b));
        _palettes.Write(graph, tensor, palette, bits, Front(graph, tensor));
        return palette.Bytes(bits);
    }

    /// <summary>Stores evenly spaced values.</summary>
    /// <returns>Bytes of codes and scales.</returns>
    public long Write(GraphProto graph, TensorProto tensor, SteppedWeight weight)
    {
        var nodes = Front(graph, tensor);
        var codes = context.Add<sbyte>(graph, "w", DataType.Int8, tensor.Dims, weight.Codes);
        long[] shape = weight.Scales.Length == 1 ? [] : [.. tensor.Dims.Select((d, axis) => axis == weight.Axis ? d : 1)];
        var type = (DataType)tensor.DataType;
        var halves = Array.TrueForAll(weight.Scales, s => (float)(Half)s == s);
        var scale = halves ? context.Add<Half>(graph, "sw", DataType.Float16, shape, [.. weight.Scales.Select(s => (Half)s)]) : context.Add<float>(graph, "sw", DataType.Float, shape, weight.Scales);
        string real = context.Fresh("f"), wide = scale;
        nodes.Add(GraphExtensions.Node("Cast", [codes], [real]).Set("to", (long)DataType.Float));
        if (halves)
            nodes.Add(GraphExtensions.Node("Cast", [scale], [wide = context.Fresh("f")]).Set("to", (long)DataType.Float));
        var product = type == DataType.Float ? tensor.Name : context.Fresh("f");
        nodes.Add(GraphExtensions.Node("Mul", [real, wide], [product]));
        if (type != DataType.Float)
            nodes.Add(GraphExtensions.Node("Cast", [product], [tensor.Name]).Set("to", (long)type));
        return weight.Codes.Length + weight.Scales.Length * (halves ? 2L : 4L);
    }

    /// <summary>Makes one matrix the transposition of another one.</summary>
    public void Transpose(GraphProto graph, TensorProto tensor, string other) =>
        Front(graph, tensor).Add(GraphExtensions.Node("Transpose", [other], [tensor.Name]).Set("perm", 1, 0));

    /// <summary>Puts the nodes in front of the graphs and removes the initializers. Called once, at the end.</summary>
    public void Finish()
    {
        foreach (var (graph, nodes) in _front)
        {
            GraphEdit.RemoveInitializers(graph, _gone);
            nodes.AddRange(graph.Node);
            graph.Node.Clear();
            graph.Node.AddRange(nodes);
        }
    }

    private List<NodeProto> Front(GraphProto graph, TensorProto tensor)
    {
        _gone.Add(tensor);
        if (!_front.TryGetValue(graph, out var nodes))
            _front[graph] = nodes = [];
        return nodes;
    }

    private long Cost(PaletteCodes palette, int bits)
    {
        if (!encoded)
            return palette.Bytes(bits) + PaletteWriter.Overhead(bits);
        // Nodes and names are much alike.
        return PaletteWriter.Overhead(bits) / 4 + palette.Payloads(bits).Sum(p => EncodedSize.Of(p));
    }
}
