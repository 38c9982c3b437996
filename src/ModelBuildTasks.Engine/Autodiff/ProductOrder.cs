using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Onnx;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Autodiff;

/// <summary>
/// Writes products such that their sums are the same on any number of threads. ONNX Runtime gives threads parts of the longer side of a product, and how
/// it cuts a long sum depends on how many columns a thread has: a product with more columns than rows is computed as (Bᵀ·Aᵀ)ᵀ. Weights that are
/// constants are packed when a model is loaded, always alike; those of a step are not.
/// </summary>
internal static class ProductOrder
{
    // Sums up to so long are not cut.
    private const long Uncut = 128;

    /// <summary>Rewrites the products of a graph.</summary>
    /// <param name="form">The graph, edited in place.</param>
    /// <param name="sample">A batch: with it all shapes are known.</param>
    /// <param name="builder">Writes nodes into the graph's names.</param>
    public static void Apply(OnnxModel form, IReadOnlyDictionary<string, Tensor> sample, GraphBuilder builder)
    {
        if (!form.Graph.Node.Any(n => n.Is("MatMul") || n.Is("Gemm")))
            return;
        var graph = ShapeSource.Of(form, sample);
        var nodes = form.Graph.Node.ToList();
        form.Graph.Node.Clear();
        foreach (var node in nodes)
        {
            builder.Nodes.Clear();
            if ((node.Is("MatMul") || node.Is("Gemm")) && graph.IsShaped(node.Input[0]) && graph.IsShaped(node.Input[1]) && Write(graph, builder, node))
                form.Graph.Node.AddRange(builder.Nodes);
            else
                form.Graph.Node.Add(node);
        }

        builder.Nodes.Clear();
    }

    private static bool Write(ShapedGraph graph, GraphBuilder b, NodeProto node)
    {
        var (left, right) = (graph.Shape(node.Input[0]), graph.Shape(node.Input[1]));
        if (graph.Index.Constant(node.Input[1]) is not null && right.Length == 2)
            return false;
        if (node.Is("Gemm"))
        {
            var (transA, transB) = (node.Int("transA") != 0, node.Int("transB") != 0);
            var (m, k, n) = (left[transA ? 1 : 0], left[transA ? 0 : 1], right[transB ? 0 : 1]);
            if (!IsCut(m, k, n))
                return false;
            var product = Turned(b, b.Gemm(node.Input[1], node.Input[0], !transB, !transA, node.Float("alpha", 1)), m, n, [m, n]);
            if (node.InputOrEmpty(2).Length > 0)
                product = b.Add(product, b.Mul(node.Input[2], node.Float("beta", 1)));
            b.Node("Identity", [product], [node.Output[0]]);
            return true;
        }

        if (left.Length == 0 || right.Length < 2)
            return false;
        var (inner, columns) = (left[^1], right[^1]);
        long[] shape = left.Length == 1 && right.Length == 2 ? [columns] : [.. left[..^1], columns];
        if (right.Length == 2)
        {
            var rows = ElementTypes.Count(left[..^1]);
            if (!IsCut(rows, inner, columns))
                return false;
            var matrix = left.Length == 2 ? node.Input[0] : b.Reshape(node.Input[0], rows, inner);
            b.Node("Identity", [Turned(b, b.Gemm(node.Input[1], matrix, transA: true, transB: true), rows, columns, shape)], [node.Output[0]]);
            return true;
        }

        if (left.Length < 2 || !IsCut(left[^2], inner, columns))
            return false;
        var turned = b.MatMul(b.TransposeLast(node.Input[1], right.Length), b.TransposeLast(node.Input[0], left.Length));
        b.Node("Identity", [b.TransposeLast(turned, Math.Max(left.Length, right.Length))], [node.Output[0]]);
        return true;
    }

    private static bool IsCut(long rows, long inner, long columns) => columns > rows && inner > Uncut;

    /// <summary>[columns, rows] to a shape of rows and columns. A transposition of two axes would be fused into the product, which would turn it back; that of three is not.</summary>
    private static string Turned(GraphBuilder b, string product, long rows, long columns, long[] shape) =>
        b.Reshape(b.Transpose(b.Reshape(product, 1, columns, rows), 2, 0, 1), shape);
}
