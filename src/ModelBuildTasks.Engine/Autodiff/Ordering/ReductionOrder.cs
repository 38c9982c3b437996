using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Autodiff.Ordering;

/// <summary>Sums and means of which a few values are left. With more threads than values ONNX Runtime takes another kernel for them: they become products with ones.</summary>
internal static class ReductionOrder
{
    public static bool Reduce(ShapedGraph graph, GraphBuilder b, NodeProto node)
    {
        var shape = graph.Shape(node.Input[0]);
        if (!graph.IsFloat(node.Input[0]) || (node.InputOrEmpty(1).Length > 0 && graph.Longs(node.Input[1]) is null))
            return false;
        long[] all = [.. Enumerable.Range(0, shape.Length).Select(i => (long)i)];
        var axes = graph.Axes(node, shape.Length, 1, node.Int("noop_with_empty_axes") != 0 ? [] : all);
        long[] left = [.. all.Except(axes)];
        var (values, count) = (ElementTypes.Count(left.Select(a => shape[a])), ElementTypes.Count(axes.Select(a => shape[a])));
        if (values is < 2 or > SumOrder.MostThreads || count < 2)
            return false;
        // [summed, left]ᵀ·1. A transposition of two axes alone would be fused into the product.
        var summed = axes.Concat(left).SequenceEqual(all) ? node.Input[0]
            : b.Transpose(b.Reshape(node.Input[0], [1, .. shape]), [.. axes.Select(a => a + 1), 0, .. left.Select(a => a + 1)]);
        var result = b.Gemm(b.Reshape(summed, count, values), b.Filled([count, 1], 1), transA: true, alpha: node.Is("ReduceMean") ? 1f / count : 1);
        long[] to = node.Int("keepdims", 1) != 0 ? [.. shape.Select((d, i) => axes.Contains(i) ? 1 : d)] : [.. left.Select(a => shape[a])];
        b.Node("Reshape", [result, b.Ints(to)], [node.Output[0]]);
        return true;
    }
}
