using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Onnx;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Autodiff;

/// <summary>
/// Writes products such that their sums are the same on any number of threads. ONNX Runtime gives threads parts of the longer side of a product, and how
/// it cuts a long sum depends on how many columns a thread has: a product with more columns than rows is computed as (Bᵀ·Aᵀ)ᵀ, and a convolution of one
/// sample as one in groups of outputs, of which each thread has whole ones. Where a thread may have a single row, which has a kernel of its own, the
/// left side is turned, which that kernel is not for. Sums of fewer values than there are threads have another kernel, too: they become products with ones. Weights that are constants are packed when a model is loaded, always alike; those of a step are not.
/// </summary>
internal static class ProductOrder
{
    // Sums up to so long are not cut.
    private const long Uncut = 128;

    /// <summary>The most threads with which the sums are the same. To turn the left side costs a copy, and more threads have more products that need it.</summary>
    public const int MostThreads = 16;

    // With fewer rows a thread of that many may have one alone.
    private const long FewRows = 2 * MostThreads;

    private const int MostGroups = 8;

    /// <summary>Rewrites the products of a graph.</summary>
    /// <param name="form">The graph, edited in place.</param>
    /// <param name="sample">A batch: with it all shapes are known.</param>
    /// <param name="builder">Writes nodes into the graph's names.</param>
    public static void Apply(OnnxModel form, IReadOnlyDictionary<string, Tensor> sample, GraphBuilder builder)
    {
        static bool isProduct(NodeProto node) => node.Is("MatMul") || node.Is("Gemm") || node.Is("Conv") || node.Is("ReduceSum") || node.Is("ReduceMean");
        if (!form.Graph.Node.Any(isProduct))
            return;
        var graph = ShapeSource.Of(form, sample);
        var nodes = form.Graph.Node.ToList();
        form.Graph.Node.Clear();
        foreach (var node in nodes)
        {
            builder.Nodes.Clear();
            if (isProduct(node) && graph.IsShaped(node.Input[0]) && (node.OpType.StartsWith("Reduce", StringComparison.Ordinal) ? Sum(graph, builder, node) : graph.IsShaped(node.Input[1]) && Write(graph, builder, node)))
                form.Graph.Node.AddRange(builder.Nodes);
            else
                form.Graph.Node.Add(node);
        }

        builder.Nodes.Clear();
    }

    private static bool Write(ShapedGraph graph, GraphBuilder b, NodeProto node)
    {
        var (left, right) = (graph.Shape(node.Input[0]), graph.Shape(node.Input[1]));
        if (node.Is("Conv"))
            return Convolution(b, node, left, right);
        if (graph.Index.Constant(node.Input[1]) is not null && right.Length == 2)
            return false;
        if (node.Is("Gemm"))
        {
            var (transA, transB) = (node.Int("transA") != 0, node.Int("transB") != 0);
            var (m, k, n) = (left[transA ? 1 : 0], left[transA ? 0 : 1], right[transB ? 0 : 1]);
            if (!transA && IsFewRows(m, k, n))
            {
                b.Node("Gemm", [FirstTurned(b, node.Input[0], m, k), .. node.Input.Skip(1)], [node.Output[0]], turned =>
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

        if (left.Length == 0 || right.Length < 2)
            return false;
        var (inner, columns) = (left[^1], right[^1]);
        long[] shape = left.Length == 1 && right.Length == 2 ? [columns] : [.. left[..^1], columns];
        if (right.Length == 2)
        {
            var rows = ElementTypes.Count(left[..^1]);
            var matrix = left.Length == 2 ? node.Input[0] : b.Reshape(node.Input[0], rows, inner);
            if (IsFewRows(rows, inner, columns))
            {
                b.Node("Identity", [b.Reshape(b.Gemm(FirstTurned(b, matrix, rows, inner), node.Input[1], transA: true), shape)], [node.Output[0]]);
                return true;
            }

            if (!IsCut(rows, inner, columns))
                return false;
            b.Node("Identity", [Turned(b, b.Gemm(node.Input[1], matrix, transA: true, transB: true), rows, columns, shape)], [node.Output[0]]);
            return true;
        }

        if (left.Length < 2 || !IsCut(left[^2], inner, columns))
            return false;
        var turned = b.MatMul(b.TransposeLast(node.Input[1], right.Length), b.TransposeLast(node.Input[0], left.Length));
        b.Node("Identity", [b.TransposeLast(turned, Math.Max(left.Length, right.Length))], [node.Output[0]]);
        return true;
    }

    /// <summary>A sum or mean of which a few values are left: [summed, left]ᵀ·1.</summary>
    private static bool Sum(ShapedGraph graph, GraphBuilder b, NodeProto node)
    {
        var shape = graph.Shape(node.Input[0]);
        if (!graph.IsFloat(node.Input[0]) || (node.InputOrEmpty(1).Length > 0 && graph.Longs(node.Input[1]) is null))
            return false;
        long[] all = [.. Enumerable.Range(0, shape.Length).Select(i => (long)i)];
        var axes = graph.Axes(node, shape.Length, 1, node.Int("noop_with_empty_axes") != 0 ? [] : all);
        long[] left = [.. all.Except(axes)];
        var (values, count) = (ElementTypes.Count(left.Select(a => shape[a])), ElementTypes.Count(axes.Select(a => shape[a])));
        if (values is < 2 or > MostThreads || count < 2)
            return false;
        // A transposition of two axes alone would be fused into the product, see Turned.
        var summed = axes.Concat(left).SequenceEqual(all) ? node.Input[0]
            : b.Transpose(b.Reshape(node.Input[0], [1, .. shape]), [.. axes.Select(a => a + 1), 0, .. left.Select(a => a + 1)]);
        var result = b.Gemm(b.Reshape(summed, count, values), b.Filled([count, 1], 1), transA: true, alpha: node.Is("ReduceMean") ? 1f / count : 1);
        long[] to = node.Int("keepdims", 1) != 0 ? [.. shape.Select((d, i) => axes.Contains(i) ? 1 : d)] : [.. left.Select(a => shape[a])];
        b.Node("Reshape", [result, b.Ints(to)], [node.Output[0]]);
        return true;
    }

    /// <summary>A convolution of one sample in one group as one in several groups of outputs that all read the whole input.</summary>
    private static bool Convolution(GraphBuilder b, NodeProto node, long[] x, long[] w)
    {
        if (x[0] * node.Int("group", 1) != 1 || ElementTypes.Count(w[1..]) <= Uncut)
            return false;
        var groups = Enumerable.Range(2, MostGroups - 1).LastOrDefault(g => w[0] % g == 0);
        if (groups == 0)
        {
            // Twice the sample is twice the work, for two threads.
            var twice = b.Op("Conv", [b.Concat([node.Input[0], node.Input[0]], 0), .. node.Input.Skip(1)], n => n.Attribute.AddRange(node.Attribute.Select(a => a.Clone())));
            b.Node("Slice", [twice, b.Ints(0), b.Ints(1), b.Ints(0)], [node.Output[0]]);
            return true;
        }

        b.Node("Conv", [b.Concat([.. Enumerable.Repeat(node.Input[0], groups)], 1), .. node.Input.Skip(1)], [node.Output[0]], n =>
        {
            n.Attribute.AddRange(node.Attribute.Where(a => a.Name != "group").Select(a => a.Clone()));
            n.Set("group", groups);
        });
        return true;
    }

    private static bool IsFewRows(long rows, long inner, long columns) => rows >= columns && rows > 1 && rows < FewRows && inner > Uncut;

    /// <summary>[rows, inner] to [inner, rows], see <see cref="Turned"/>.</summary>
    private static string FirstTurned(GraphBuilder b, string matrix, long rows, long inner) => b.Reshape(b.Transpose(b.Reshape(matrix, 1, rows, inner), 2, 0, 1), inner, rows);

    private static bool IsCut(long rows, long inner, long columns) => columns > rows && inner > Uncut;

    /// <summary>[columns, rows] to a shape of rows and columns. A transposition of two axes would be fused into the product, which would turn it back; that of three is not.</summary>
    private static string Turned(GraphBuilder b, string product, long rows, long columns, long[] shape) =>
        b.Reshape(b.Transpose(b.Reshape(product, 1, columns, rows), 2, 0, 1), shape);
}
