using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Onnx;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Autodiff.Ordering;

/// <summary>Rewrites the operators of a gradient graph that add up in another order on another number of threads, so that every sum has the same bits on all.</summary>
internal static class SumOrder
{
    /// <summary>The most threads with which the sums are the same. What keeps them so costs copies, and more threads have more operators that need them.</summary>
    public const int MostThreads = 16;

    /// <summary>Writes the node's result in another way; says false, and writes nothing that counts, where it may stay.</summary>
    private delegate bool Rewrite(ShapedGraph graph, GraphBuilder builder, NodeProto node);

    private static readonly Dictionary<string, Rewrite> _rewrites = new()
    {
        ["MatMul"] = ProductOrder.MatMul,
        ["Gemm"] = ProductOrder.Gemm,
        ["Conv"] = ConvolutionOrder.Conv,
        ["ReduceSum"] = ReductionOrder.Reduce,
        ["ReduceMean"] = ReductionOrder.Reduce,
    };

    /// <summary>Rewrites what needs it.</summary>
    /// <param name="form">The graph, edited in place.</param>
    /// <param name="sample">A batch: with it all shapes are known.</param>
    /// <param name="builder">Writes nodes into the graph's names.</param>
    public static void Apply(OnnxModel form, IReadOnlyDictionary<string, Tensor> sample, GraphBuilder builder)
    {
        static Rewrite? of(NodeProto node) => node.IsStandard() ? _rewrites.GetValueOrDefault(node.OpType) : null;
        if (!form.Graph.Node.Any(n => of(n) is not null))
            return;
        var graph = ShapeSource.Of(form, sample);
        var nodes = form.Graph.Node.ToList();
        form.Graph.Node.Clear();
        foreach (var node in nodes)
        {
            builder.Nodes.Clear();
            // Axes have shapes, too.
            if (of(node) is { } rewrite && node.Input.All(i => i.Length == 0 || graph.IsShaped(i)) && rewrite(graph, builder, node))
                form.Graph.Node.AddRange(builder.Nodes);
            else
                form.Graph.Node.Add(node);
        }

        builder.Nodes.Clear();
    }
}
