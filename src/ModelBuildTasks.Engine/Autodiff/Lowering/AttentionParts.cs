using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Autodiff.Lowering;

/// <summary>Attention and rotary embeddings of opset 23, which are one operator each, as the products they stand for.</summary>
internal static class AttentionParts
{
    public static IEnumerable<KeyValuePair<string, OperatorLowering>> Lowerings =>
    [
        new("Attention", new(Attention) { Limit = Limit }),
        new("RotaryEmbedding", new(Rotary)),
    ];

    private static string? Limit(ShapedGraph graph, NodeProto node)
    {
        if (node.InputOrEmpty(4).Length > 0 || node.InputOrEmpty(5).Length > 0 || node.InputOrEmpty(6).Length > 0)
            return "Attention with keys and values of the past, or a length of theirs";
        if (node.Output.Skip(1).Any(o => o.Length > 0))
            return "Attention that shows more than its result";
        return node.Int("softmax_precision", 1) is 1 ? null : "Attention whose softmax is not in float32";
    }

    private static IReadOnlyList<string?> Attention(ShapedGraph graph, GraphBuilder b, NodeProto node)
    {
        var flat = graph.Shape(node.Input[0]).Length == 3;
        var (q, shape) = Heads(graph, b, node.Input[0], node.Int("q_num_heads", 1));
        var (k, keys) = Heads(graph, b, node.Input[1], node.Int("kv_num_heads", 1));
        var (v, values) = Heads(graph, b, node.Input[2], node.Int("kv_num_heads", 1));
        var (batch, heads, length, reach) = (shape[0], shape[1], shape[2], keys[2]);
        (k, v) = (Repeated(b, k, keys, heads), Repeated(b, v, values, heads));

        var scores = b.Mul(b.MatMul(q, b.TransposeLast(k, 4)), node.Float("scale", (float)(1 / Math.Sqrt(shape[3]))));
        // The order of opset 23 and 24, in which a cap comes before what is masked would be lost in it.
        if (node.Float("softcap", 0) is > 0 and var cap)
            scores = b.Mul(b.Op("Tanh", b.Mul(scores, 1 / cap)), cap);
        if (node.InputOrEmpty(3) is { Length: > 0 } mask)
            scores = b.Add(scores, Bias(graph, b, mask));
        if (node.Int("is_causal", 0) == 1)
            scores = b.Add(scores, Causal(b, length, reach));
        var result = b.MatMul(b.Op("Softmax", [scores], n => n.Set("axis", -1)), v);
        return [flat ? b.Reshape(b.Transpose(result, 0, 2, 1, 3), batch, length, heads * values[3]) : result];
    }

    /// <summary>[batch, heads, length, size] of a value that has heads side by side in its last axis, or has this form already.</summary>
    private static (string Value, long[] Shape) Heads(ShapedGraph graph, GraphBuilder b, string value, long heads)
    {
        var shape = graph.Shape(value);
        if (shape.Length == 4)
            return (value, shape);
        long[] open = [shape[0], shape[1], heads, shape[2] / heads];
        return (b.Transpose(b.Reshape(value, open), 0, 2, 1, 3), [open[0], open[2], open[1], open[3]]);
    }

    /// <summary>Each head of keys or values as often as queries share it.</summary>
    private static string Repeated(GraphBuilder b, string value, long[] shape, long heads)
    {
        if (shape[1] == heads)
            return value;
        long[] open = [shape[0], shape[1], heads / shape[1], shape[2], shape[3]];
        return b.Reshape(b.Expand(b.Unsqueeze(value, 2), open), shape[0], heads, shape[2], shape[3]);
    }

    private static string Bias(ShapedGraph graph, GraphBuilder b, string mask) =>
        graph.Type(mask) == DataType.Bool ? b.Op("Where", mask, b.Scalar(0), b.Scalar(float.MinValue)) : mask;

    /// <summary>0 up to each row's own place, the least number behind it.</summary>
    private static string Causal(GraphBuilder b, long length, long reach) =>
        b.Op("Trilu", [b.Filled([length, reach], float.MinValue), b.IntScalar(1)], n => n.Set("upper", 1));

    private static IReadOnlyList<string?> Rotary(ShapedGraph graph, GraphBuilder b, NodeProto node)
    {
        var x = node.Input[0];
        var shape = graph.Shape(x);
        var flat = shape.Length == 3;
        // [batch, length, heads, size]
        var heads = node.Int("num_heads", 1);
        long[] open = flat ? [shape[0], shape[1], heads, shape[2] / heads] : [shape[0], shape[2], shape[1], shape[3]];
        var value = flat ? b.Reshape(x, open) : b.Transpose(x, 0, 2, 1, 3);
        var turned = node.Int("rotary_embedding_dim", 0) is > 0 and var part ? part : open[3];
        var half = turned / 2;
        var positions = node.InputOrEmpty(3);
        string Angles(string table) => b.Unsqueeze(positions.Length == 0 ? table : b.Op("Gather", table, positions), 2);
        var (cos, sin) = (Angles(node.Input[1]), Angles(node.Input[2]));

        var pairs = node.Int("interleaved", 0) == 1;
        var (one, two) = pairs
            ? (b.Slice(value, [3], [0], [turned], [2]), b.Slice(value, [3], [1], [turned], [2]))
            : (b.Slice(value, [3], [0], [half]), b.Slice(value, [3], [half], [turned]));
        var real = b.Sub(b.Mul(one, cos), b.Mul(two, sin));
        var imaginary = b.Add(b.Mul(one, sin), b.Mul(two, cos));
        var result = pairs
            ? b.Reshape(b.Concat([b.Unsqueeze(real, 4), b.Unsqueeze(imaginary, 4)], 4), [.. open[..3], turned])
            : b.Concat([real, imaginary], 3);
        if (turned < open[3])
            result = b.Concat([result, b.Slice(value, [3], [turned], [open[3]])], 3);
        return [flat ? b.Reshape(result, shape) : b.Transpose(result, 0, 2, 1, 3)];
    }
}
