using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Autodiff.Lowering;

/// <summary>An operator written as simpler ones, which have gradient rules.</summary>
/// <param name="Write">Writes the parts and gives the values of the node's outputs; null for outputs that nobody reads.</param>
internal sealed record OperatorLowering(Func<ShapedGraph, GraphBuilder, NodeProto, IReadOnlyList<string?>> Write)
{
    /// <summary>Says which forms are not known, or null.</summary>
    public RuleLimit? Limit { get; init; }
}

/// <summary>Operators that are taken apart before a graph is differentiated.</summary>
internal static class Lowerings
{
    private static readonly Dictionary<string, OperatorLowering> _lowerings = new([.. NormalizationParts.Lowerings, .. AttentionParts.Lowerings, .. Recurrence.Lowerings]);

    /// <summary>The operators that are taken apart.</summary>
    public static IEnumerable<string> Operators => _lowerings.Keys;

    /// <summary>How a node's operator is taken apart, or null.</summary>
    public static OperatorLowering? Find(NodeProto node) => node.IsStandard() ? _lowerings.GetValueOrDefault(node.OpType) : null;

    /// <summary>Takes apart the nodes that weights act on; the others stay as they are, which is faster.</summary>
    /// <returns>Whether there were any.</returns>
    public static bool Apply(ShapedGraph graph, IReadOnlyCollection<string> weights, NameAllocator names)
    {
        var moved = new HashSet<string>(weights);
        var nodes = new List<NodeProto>();
        var builder = new GraphBuilder(graph.Model, names);
        var any = false;
        foreach (var node in graph.Model.Graph.Node)
        {
            var touched = node.Input.Any(moved.Contains);
            if (touched)
                moved.UnionWith(node.Output.Where(graph.IsFloat));
            if (!touched || Find(node) is not { } lowering || lowering.Limit?.Invoke(graph, node) is not null)
            {
                nodes.Add(node);
                continue;
            }

            var results = lowering.Write(graph, builder, node);
            for (var i = 0; i < node.Output.Count; i++)
            {
                if (node.Output[i].Length > 0)
                    builder.Node("Identity", [results[i]!], [node.Output[i]]);
            }

            nodes.AddRange(builder.Nodes);
            builder.Nodes.Clear();
            any = true;
        }

        if (!any)
            return false;
        graph.Model.Graph.Node.Clear();
        graph.Model.Graph.Node.AddRange(nodes);
        return true;
    }
}
