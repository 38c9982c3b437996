using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Autodiff.Ordering;

/// <summary>
/// Products of matrices. ONNX Runtime gives threads parts of the longer side, and how it cuts a long sum depends on how many columns a thread has: a
/// product with more columns than rows is computed as (Bᵀ·Aᵀ)ᵀ. Where a thread may have a single row, which has a kernel of its own, the left side is
/// turned, which that kernel is not for. Matrices that are constants are packed when a model is loaded, always alike; those of a step are not.
/// </summary>
internal static class ProductOrder
{
    // Sums up to so long are not cut.
    internal const long Uncut = 128;

    // With fewer rows one of the threads may have one alone.
    private const long FewRows = 2 * SumOrder.MostThreads;

    public static bool Gemm(ShapedGraph graph, GraphBuilder b, NodeProto node)
    {
        if (IsPacked(graph, node))
            return false;
        var (left, right) = (graph.Shape(node.Input[0]), graph.Shape(node.Input[1]));
        var (transA, transB) = (node.Int("transA") != 0, node.Int("transB") != 0);
        var (m, k, n) = (left[transA ? 1 : 0], left[transA ? 0 : 1], right[transB ? 0 : 1]);
        if (!transA && IsFewRows(m, k, n))
        {
            b.Node("Gemm", [LeftTurned(b, node.Input[0], left), .. node.Input.Skip(1)], [node.Output[0]], turned =>
            {
                turned.Attribute.AddRange(node.Attribute.Where(a => a.Name != "transA").Select(a => a.Clone()));
                turned.Set("transA", 1);
            });
            return true;
        }

        if (!IsCut(m, k, n))
            return false;
        var product = Turned(b, b.Gemm(node.Input[1], node.Input[0], !transB, !transA, node.Float("alpha", 1)), m, n, [m, n]);
        if (node.InputOrEmpty(2).Length > 0)
            product = b.Add(product, b.Mul(node.Input[2], node.Float("beta", 1)));
        b.Node("Identity", [product], [node.Output[0]]);
        return true;
    }

    public static bool MatMul(ShapedGraph graph, GraphBuilder b, NodeProto node)
    {
        var (left, right) = (graph.Shape(node.Input[0]), graph.Shape(node.Input[1]));
        if (IsPacked(graph, node) || left.Length == 0 || right.Length < 2)
            return false;
        var (inner, columns) = (left[^1], right[^1]);
        return right.Length == 2 ? Flat(b, node, left, inner, columns) : left.Length > 1 && Batched(b, node, left, right, inner, columns);
    }

    private static bool Flat(GraphBuilder b, NodeProto node, long[] left, long inner, long columns)
    {
        var rows = ElementTypes.Count(left[..^1]);
        var (few, cut) = (IsFewRows(rows, inner, columns), IsCut(rows, inner, columns));
        if (!few && !cut)
            return false;
        var matrix = left.Length == 2 ? node.Input[0] : b.Reshape(node.Input[0], rows, inner);
        long[] shape = left.Length == 1 ? [columns] : [.. left[..^1], columns];
        b.Node("Identity",
            [few ? b.Reshape(b.Gemm(LeftTurned(b, matrix, [rows, inner]), node.Input[1], transA: true), shape)
                : Turned(b, b.Gemm(node.Input[1], matrix, transA: true, transB: true), rows, columns, shape)],
            [node.Output[0]]);
        return true;
    }

    private static bool Batched(GraphBuilder b, NodeProto node, long[] left, long[] right, long inner, long columns)
    {
        var rows = left[^2];
        string result;
        if (IsFewRows(rows, inner, columns))
            // The transposition of a turned copy is fused into the product, which then reads it from its long side.
            result = b.MatMul(b.TransposeLast(LeftTurned(b, node.Input[0], left), left.Length), node.Input[1]);
        else if (IsCut(rows, inner, columns))
            result = b.TransposeLast(b.MatMul(b.TransposeLast(node.Input[1], right.Length), b.TransposeLast(node.Input[0], left.Length)), Math.Max(left.Length, right.Length));
        else
            return false;
        b.Node("Identity", [result], [node.Output[0]]);
        return true;
    }

    private static bool IsPacked(ShapedGraph graph, NodeProto node) => graph.Index.Constant(node.Input[1]) is not null && graph.Shape(node.Input[1]).Length == 2;

    private static bool IsCut(long rows, long inner, long columns) => columns > rows && inner > Uncut;

    private static bool IsFewRows(long rows, long inner, long columns) => rows >= columns && rows > 1 && rows < FewRows && inner > Uncut;

    /// <summary>[..., rows, inner] to a copy [..., inner, rows]. A transposition of two axes would be fused into the product, which would read the original; that of more axes is not.</summary>
    private static string LeftTurned(GraphBuilder b, string matrix, long[] shape)
    {
        var (rows, inner, batch) = (shape[^2], shape[^1], ElementTypes.Count(shape[..^2]));
        return b.Reshape(b.Transpose(b.Reshape(matrix, 1, batch, rows, inner), 1, 3, 0, 2), [.. shape[..^2], inner, rows]);
    }

    /// <summary>[columns, rows] to a shape of rows and columns, see <see cref="LeftTurned"/>.</summary>
    private static string Turned(GraphBuilder b, string product, long rows, long columns, long[] shape) =>
        b.Reshape(b.Transpose(b.Reshape(product, 1, columns, rows), 2, 0, 1), shape);
}
