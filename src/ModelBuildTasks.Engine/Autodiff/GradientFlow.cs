using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Autodiff;

/// <summary>Where gradients flow: from which values on the loss depends on weights, and what is in the way.</summary>
/// <param name="Wanted">The values whose gradients are needed.</param>
/// <param name="Blocked">The nodes on the way that cannot be differentiated, in order.</param>
internal sealed record GradientFlow(IReadOnlySet<string> Wanted, IReadOnlyList<NodeProto> Blocked)
{
    public static GradientFlow Of(ShapedGraph graph, IReadOnlyCollection<string> weights, string loss)
    {
        var nodes = graph.Model.Graph.Node;
        var moved = new HashSet<string>(weights);
        foreach (var node in nodes)
        {
            if (GradientInputs(graph, node).Any(i => moved.Contains(node.Input[i])) || Captures(graph, node).Any(moved.Contains))
                moved.UnionWith(node.Output.Where(graph.IsFloat));
        }

        var asked = new HashSet<string> { loss };
        var blocked = new List<NodeProto>();
        foreach (var node in nodes.Reverse())
        {
            if (!node.Output.Any(o => asked.Contains(o) && moved.Contains(o)))
                continue;
            asked.UnionWith(GradientInputs(graph, node).Select(i => node.Input[i]));
            if (GradientRules.WhyNot(graph, node) is not null && (GradientInputs(graph, node).Any(i => moved.Contains(node.Input[i])) || Captures(graph, node).Any(moved.Contains)))
                blocked.Add(node);
        }

        blocked.Reverse();
        moved.IntersectWith(asked);
        return new(moved, blocked);
    }

    /// <summary>The inputs through which a gradient could flow.</summary>
    public static IEnumerable<int> GradientInputs(ShapedGraph graph, NodeProto node) =>
        Enumerable.Range(0, node.Input.Count).Where(i => graph.IsFloat(node.Input[i]) && GradientRules.Differentiates(node, i));

    /// <summary>What bodies read from outside.</summary>
    public static IEnumerable<string> Captures(ShapedGraph graph, NodeProto node) =>
        node.Bodies().SelectMany(GraphIndex.Captures).Where(graph.IsFloat);
}
