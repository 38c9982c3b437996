using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.Quantization.Bits;

/// <summary>
/// Writes weights of few bits so that stock ONNX Runtime fuses or folds what decodes them: blocked DequantizeLinear in front of a MatMul becomes
/// MatMulNBits, GatherBlockQuantized decodes the rows it picks, and everything else is unpacked by shifts, which constants folding does once
/// when the model is loaded.
/// </summary>
internal sealed class BitWriter(RewriteContext context)
{
    /// <summary>What a weight that is unpacked adds to the file beside codes, scales and zeros, as measured on written files.</summary>
    public const int StoredOverhead = 480;

    /// <summary>The same for one behind a blocked DequantizeLinear, or for a GatherBlockQuantized.</summary>
    public const int BlockedOverhead = 160;

    private readonly Dictionary<(int, string, int), string> _decoded = [];
    private readonly Dictionary<(string, int), string> _blocked = [];
    private readonly Dictionary<string, string[]> _tables = [];

    /// <summary>Bytes that a weight takes in the file.</summary>
    /// <param name="weight">The codes.</param>
    /// <param name="halves">Whether scales are float16.</param>
    /// <param name="stored">Whether it is unpacked when the model is loaded: zeros then take a byte.</param>
    public static long Bytes(BitWeight weight, bool halves, bool stored) =>
        BitPacking.Length(weight.Count, weight.Grid.Bits) + (long)weight.Layout.Rows * weight.Groups * (halves ? 2 : 4)
        + (weight.Grid.Symmetric ? 0 : stored ? (long)weight.Layout.Rows * weight.Groups : BitPacking.Length((long)weight.Layout.Rows * weight.Groups, weight.Grid.Bits));

    /// <summary>MatMul or Gemm with a DequantizeLinear in front of its weight.</summary>
    /// <param name="graph">The graph of the node.</param>
    /// <param name="node">The node.</param>
    /// <param name="source">The weight as it was.</param>
    /// <param name="weight">Its codes.</param>
    /// <param name="halves">Whether scales are float16.</param>
    /// <param name="nodes">Gets what takes the node's place.</param>
    /// <param name="twin">The table of which the weight is the transposition, where that is stored, see <see cref="HasTable"/>.</param>
    /// <returns>Whether the file has codes for it: a weight that several nodes read, or a table's transposition, is there already.</returns>
    public bool Blocked(GraphProto graph, NodeProto node, NodeWeight source, BitWeight weight, bool halves, List<NodeProto> nodes, string? twin = null)
    {
        var key = (node.Input[source.Input], source.ChannelAxis);
        var stores = !_blocked.TryGetValue(key, out var decoded);
        if (decoded is null)
        {
            var (layout, grid) = (weight.Layout, weight.Grid);
            var type = (grid.Bits, grid.Symmetric) switch
            {
                (8, true) => DataType.Int8,
                (8, _) => DataType.Uint8,
                (4, true) => DataType.Int4,
                (4, _) => DataType.Uint4,
                (_, true) => DataType.Int2,
                _ => DataType.Uint2,
            };
            decoded = context.Fresh("v");
            List<string> inputs;
            if (twin is not null)
            {
                inputs = [.. Twin(twin, nodes)];
            }
            else
            {
                var stored = PackedCodes.OfProduct(weight);
                inputs =
                [
                    Packed(graph, "w", type, [layout.Columns, layout.Rows], stored.Codes),
                    Scales(graph, source.Type, [weight.Groups, layout.Rows], stored.Scales, halves, nodes),
                ];
                if (!grid.Symmetric)
                    inputs.Add(Packed(graph, "z", type, [weight.Groups, layout.Rows], stored.Zeros));
            }

            nodes.Add(GraphExtensions.Node("DequantizeLinear", inputs, [decoded]).Set("axis", 0).Set("block_size", weight.Group));
            _blocked[key] = decoded;
        }

        var bias = node.OpType == "Gemm" ? node.InputOrEmpty(2) : "";
        var product = bias.Length > 0 ? context.Fresh("y") : node.Output[0];
        nodes.Add(GraphExtensions.Node("MatMul", [node.Input[0], decoded], [product], node.Name));
        if (bias.Length > 0)
            nodes.Add(GraphExtensions.Node("Add", [product, bias], [node.Output[0]]));
        return stores && twin is null;
    }

    /// <summary>A Gather that decodes the rows it picks.</summary>
    /// <returns>Whether the file has codes for it: a table that several nodes read is there already.</returns>
    public bool Gather(GraphProto graph, NodeProto node, NodeWeight source, BitWeight weight, bool halves, List<NodeProto> nodes)
    {
        if (!context.Model.Proto.OpsetImport.Any(o => o.Domain == "com.microsoft"))
            context.Model.Proto.OpsetImport.Add(new OperatorSetIdProto { Domain = "com.microsoft", Version = 1 });
        var (layout, grid) = (weight.Layout, weight.Grid);
        var type = grid.Symmetric ? DataType.Int4 : DataType.Uint4;
        var made = GraphExtensions.Node("GatherBlockQuantized", [], node.Output, node.Name).Set("gather_axis", 0).Set("quantize_axis", 1).Set("block_size", weight.Group);
        made.Domain = "com.microsoft";
        var name = node.Input[0];
        var stores = !_tables.TryGetValue(name, out var table);
        if (table is null)
        {
            var stored = PackedCodes.OfTable(weight);
            table =
            [
                Packed(graph, "w", type, source.Tensor.Dims, stored.Codes),
                Scales(graph, source.Type, [layout.Rows, weight.Groups], stored.Scales, halves, nodes),
                grid.Symmetric ? "" : Packed(graph, "z", type, [layout.Rows, weight.Groups], stored.Zeros)];
            _tables[name] = table;
        }

        made.Input.Add([table[0], node.Input[1], table[1]]);
        if (table[2].Length > 0)
            made.Input.Add(table[2]);
        nodes.Add(made);
        return stores;
    }

    /// <summary>Whether a table of the main graph is stored in codes.</summary>
    public bool HasTable(string name) => _tables.ContainsKey(name);

    // Codes, scales and zeros turned around, which the runtime does when it loads the model.
    private IEnumerable<string> Twin(string name, List<NodeProto> nodes)
    {
        foreach (var stored in _tables[name].Where(n => n.Length > 0))
            yield return Turned(stored, nodes);
    }

    /// <summary>The name of a weight that is unpacked when the model is loaded, or null where it is not.</summary>
    public string? Decoded(GraphProto home, NodeWeight source) => _decoded.GetValueOrDefault((context.Number(home), source.Node.Input[source.Input], source.ChannelAxis));

    /// <summary>The transposition of a matrix, which the runtime makes when it loads the model.</summary>
    public string Turned(string matrix, List<NodeProto> nodes)
    {
        var turned = context.Fresh("t");
        nodes.Add(GraphExtensions.Node("Transpose", [matrix], [turned]).Set("perm", 1, 0));
        return turned;
    }

    /// <summary>A weight that is unpacked when the model is loaded.</summary>
    /// <param name="home">The graph that holds the weight.</param>
    /// <param name="source">The weight as it was.</param>
    /// <param name="weight">Its codes.</param>
    /// <param name="halves">Whether scales are float16.</param>
    /// <param name="nodes">Gets what decodes it.</param>
    /// <returns>The name of the decoded weight.</returns>
    public string Stored(GraphProto home, NodeWeight source, BitWeight weight, bool halves, List<NodeProto> nodes)
    {
        var key = (context.Number(home), source.Node.Input[source.Input], source.ChannelAxis);
        if (_decoded.TryGetValue(key, out var known))
            return known;
        var (layout, grid) = (weight.Layout, weight.Grid);
        var real = Unpacked(home, weight.Codes, grid.Bits, nodes);
        var shape = GroupShape(weight);
        real = Reshape(home, real, shape, nodes);
        var zero = grid.Symmetric ? Scalar(home, grid.Zero) : Float(context.Add<byte>(home, "z", DataType.Uint8, GroupScaleShape(weight), Ordered(weight.Zeros, weight)), nodes);
        real = Node("Sub", [real, zero], nodes);
        var scale = Scales(home, DataType.Float, GroupScaleShape(weight), Ordered(weight.Scales, weight), halves, nodes);
        return _decoded[key] = Finish(home, source, Node("Mul", [real, scale], nodes), nodes);
    }

    /// <summary>Planes of signs that are unpacked and added when the model is loaded.</summary>
    public string Stored(GraphProto home, NodeWeight source, BitPlanes weight, bool halves, List<NodeProto> nodes)
    {
        var key = (context.Number(home), source.Node.Input[source.Input], source.ChannelAxis);
        if (_decoded.TryGetValue(key, out var known))
            return known;
        string? sum = null;
        for (var p = 0; p < weight.Planes; p++)
        {
            var plane = new BitWeight(weight.Layout, BitGrid.Of(1, true), weight.Group, weight.Codes, [.. weight.Scales.Where((_, i) => i % weight.Planes == p).Select(s => 2 * s)], []);
            // ±α = (bit − 1/2)·2α
            var bits = Reshape(home, Field(home, weight.Codes, 1, p, nodes), GroupShape(plane), nodes);
            var real = Node("Sub", [bits, Scalar(home, 0.5f)], nodes);
            real = Node("Mul", [real, Scales(home, DataType.Float, GroupScaleShape(plane), Ordered(plane.Scales, plane), halves, nodes)], nodes);
            sum = sum is null ? real : Node("Add", [sum, real], nodes);
        }

        return _decoded[key] = Finish(home, source, sum!, nodes);
    }

    private string Finish(GraphProto home, NodeWeight source, string real, List<NodeProto> nodes)
    {
        real = Reshape(home, real, [.. source.Tensor.Dims], nodes);
        return source.Type == DataType.Float ? real : Cast(real, source.Type, nodes);
    }

    private static long[] GroupShape(BitWeight weight) => weight.Layout.RowStride == 1 && weight.Layout.Rows > 1
        ? [weight.Groups, weight.Group, weight.Layout.Rows] : [weight.Layout.Rows, weight.Groups, weight.Group];

    private static long[] GroupScaleShape(BitWeight weight) => weight.Layout.RowStride == 1 && weight.Layout.Rows > 1
        ? [weight.Groups, 1, weight.Layout.Rows] : [weight.Layout.Rows, weight.Groups, 1];

    private static T[] Ordered<T>(T[] values, BitWeight weight) =>
        weight.Layout.RowStride == 1 && weight.Layout.Rows > 1 ? PackedCodes.Transposed(values, weight.Layout.Rows, weight.Groups) : values;

    private string Unpacked(GraphProto home, byte[] codes, int bits, List<NodeProto> nodes)
    {
        string? sum = null;
        var shift = 0;
        foreach (var width in BitPacking.Fields(bits))
        {
            var field = Field(home, codes, width, shift, nodes);
            if (width != bits)
                field = Reshape(home, field, [-1], nodes);
            if (shift > 0)
                field = Node("Mul", [field, Scalar(home, 1 << shift)], nodes);
            sum = sum is null ? field : Node("Add", [sum, field], nodes);
            shift += width;
        }

        return sum!;
    }

    /// <summary>Some bits of each code as floats, [count].</summary>
    private string Field(GraphProto home, byte[] codes, int width, int shift, List<NodeProto> nodes)
    {
        var real = Float(BitUnpacking.Unpack(context, home, codes, width, shift, nodes), nodes);
        if (codes.Length * width % 8 == 0)
            return real;
        var flat = Reshape(home, real, [-1], nodes);
        return Node("Slice", [flat, Longs(home, [0]), Longs(home, [codes.Length])], nodes);
    }

    private string Float(string value, List<NodeProto> nodes) => Cast(value, DataType.Float, nodes);

    private string Cast(string value, DataType type, List<NodeProto> nodes)
    {
        var result = context.Fresh("f");
        nodes.Add(GraphExtensions.Node("Cast", [value], [result]).Set("to", (long)type));
        return result;
    }

    private string Reshape(GraphProto home, string value, long[] shape, List<NodeProto> nodes) => Node("Reshape", [value, Longs(home, shape)], nodes);

    private string Node(string op, string[] inputs, List<NodeProto> nodes)
    {
        var result = context.Fresh("u");
        nodes.Add(GraphExtensions.Node(op, inputs, [result]));
        return result;
    }

    private string Scalar(GraphProto home, float value) => context.Shared<float>(home, FormattableString.Invariant($"scalar {value}"), "c", DataType.Float, [], [value]);

    private string Longs(GraphProto home, long[] values) => BitUnpacking.Longs(context, home, values);

    private string Packed(GraphProto graph, string prefix, DataType type, IEnumerable<long> dims, byte[] packed)
    {
        var name = context.Fresh(prefix);
        graph.Initializer.Add(context.Model.CreateTensor(name, type, dims, new ReadOnlyMemory<byte>(packed)));
        return name;
    }

    private string Scales(GraphProto graph, DataType type, long[] dims, float[] scales, bool halves, List<NodeProto> nodes)
    {
        if (!halves && type == DataType.Float)
            return context.Add<float>(graph, "s", type, dims, scales);
        var narrow = new Half[scales.Length];
        System.Numerics.Tensors.TensorPrimitives.ConvertToHalf(scales, narrow);
        var stored = context.Add<Half>(graph, "s", DataType.Float16, dims, narrow);
        return type == DataType.Float16 ? stored : Cast(stored, type, nodes);
    }
}
