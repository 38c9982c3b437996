using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.Quantization.Search;

/// <summary>How much a node has to do, from the shapes of its values.</summary>
/// <param name="shapes">Values by name, weights included; free dimensions are unknown.</param>
/// <param name="index">The graph: tells weights from activations.</param>
internal sealed class NodeWork(IReadOnlyDictionary<string, ValueDescription> shapes, GraphIndex index)
{
    /// <summary>The dimensions of a value; null when one of them is not known.</summary>
    public static long[]? Shape(IReadOnlyDictionary<string, ValueDescription> shapes, string name) =>
        shapes.TryGetValue(name, out var value) && value.Shape is { } shape && Array.TrueForAll(shape, d => d >= 0) ? shape : null;

    /// <summary>
    /// Multiply-accumulates of a node: Conv Σ out·(in/group)·window, ConvTranspose Σ in·(out/group)·window, MatMul and Gemm rows·depth·columns,
    /// LSTM, GRU and RNN steps·batch·(W + R). 0 for other operators and where a shape is unknown.
    /// </summary>
    public static long Macs(NodeProto node, IReadOnlyDictionary<string, ValueDescription> shapes) => (long)Macs(node, shapes, 1);

    /// <summary>The node's work; null where a shape that counts is unknown.</summary>
    /// <param name="node">The node.</param>
    /// <param name="block">Output channels are filled up to a multiple of this.</param>
    public KernelWork? Of(NodeProto node, long block)
    {
        double read = 0, written = 0, weights = 0;
        foreach (var name in node.Input.Where(n => n.Length > 0))
        {
            var constant = index.Constant(name) is not null;
            if (Shape(shapes, name) is { } shape)
                _ = constant ? weights += ElementTypes.Count(shape) : read += ElementTypes.Count(shape);
            else if (!constant)
                return null;
        }

        foreach (var name in node.Output.Where(n => n.Length > 0))
        {
            // An output that no run makes and nobody reads is no work.
            if (Shape(shapes, name) is { } shape)
                written += ElementTypes.Count(shape);
            else if (index.Consumers(name).Count > 0 || index.IsOutput(name))
                return null;
        }

        return new(Macs(node, shapes, block), read, written, weights, Column(node), Taps(node));
    }

    /// <summary>The kind of kernel that the node's shapes ask for.</summary>
    public KernelKind Kind(NodeProto node)
    {
        if (!node.IsStandard() || Shape(shapes, node.InputOrEmpty(0)) is not { } input || Shape(shapes, node.InputOrEmpty(1)) is not { } weight)
            return KernelKind.Plain;
        return node.OpType switch
        {
            "Conv" when node.Int("group", 1) is > 1 and var group => weight.Length > 2 && weight[1] == 1 && weight[0] == group ? KernelKind.Depthwise : KernelKind.Grouped,
            "Conv" when weight.Skip(2).All(d => d == 1) => KernelKind.Pointwise,
            "Conv" when weight.Length == 3 => KernelKind.Line,
            "MatMul" when StaticGraph.IsProduct(node, index) => KernelKind.Product,
            "MatMul" when ElementTypes.Count(input.SkipLast(1)) == 1 => KernelKind.Row,
            "Gemm" when node.Int("transA") == 0 && input.Length == 2 && input[0] == 1 => KernelKind.Row,
            _ => KernelKind.Plain,
        };
    }

    private static double Macs(NodeProto node, IReadOnlyDictionary<string, ValueDescription> shapes, long block)
    {
        if (!node.IsStandard() || node.Output.Count == 0
            || Shape(shapes, node.InputOrEmpty(0)) is not { } input || Shape(shapes, node.InputOrEmpty(1)) is not { } weight)
        {
            return 0;
        }

        switch (node.OpType)
        {
            case "Conv" when weight.Length > 2 && Shape(shapes, node.Output[0]) is { Length: > 2 } output:
                var depthwise = weight[1] == 1 && node.Int("group", 1) == weight[0];
                var groups = depthwise ? 1 : Math.Max(1, node.Int("group", 1));
                return (double)output[0] * groups * Blocks(weight[0] / groups, block) * Product(output, 2) * Product(weight, 1);
            case "ConvTranspose" when weight.Length > 2 && input.Length > 2:
                return (double)ElementTypes.Count(input) * Blocks(weight[1], block) * Product(weight, 2);
            case "MatMul" when input.Length > 0 && weight.Length > 1 && Shape(shapes, node.Output[0]) is { Length: > 0 } output:
                return (double)Rows(output, weight[^1]) * input[^1] * Blocks(weight[^1], block);
            case "Gemm" when input.Length == 2 && weight.Length == 2:
                var columns = node.Int("transB") != 0 ? weight[0] : weight[1];
                return (double)ElementTypes.Count(input) * Blocks(columns, block);
            // X: [steps, batch, in]; W: [directions, gates·hidden, in]; R: [directions, gates·hidden, hidden].
            case "LSTM" or "GRU" or "RNN" when input.Length == 3 && weight.Length == 3 && Shape(shapes, node.InputOrEmpty(2)) is { Length: 3 } recurrent:
                return (double)input[0] * input[1] * (ElementTypes.Count(weight) + ElementTypes.Count(recurrent));
            default:
                return 0;
        }
    }

    // What a convolution with a window gathers: a window of the group's channels for each place of the output.
    private double Column(NodeProto node) =>
        node.Is("Conv") && Shape(shapes, node.InputOrEmpty(1)) is { Length: > 2 } weight && Shape(shapes, node.Output[0]) is { Length: > 2 } output
        && weight.Skip(2).Any(d => d > 1)
            ? (double)output[0] * Math.Max(1, node.Int("group", 1)) * Product(output, 2) * Product(weight, 1)
            : 0;

    private double Taps(NodeProto node) =>
        node.Is("Conv") && Shape(shapes, node.Output[0]) is { Length: > 2 } output && Shape(shapes, node.InputOrEmpty(1)) is { Length: > 2 } weight
            ? (double)output[0] * Product(output, 2) * Product(weight, 2)
            : 0;

    private static long Rows(long[] output, long columns) => columns == 0 ? 0 : ElementTypes.Count(output) / columns;

    private static double Product(long[] shape, int from) => ElementTypes.Count(shape.Skip(from));

    private static long Blocks(long channels, long block) => (channels + block - 1) / block * block;
}
