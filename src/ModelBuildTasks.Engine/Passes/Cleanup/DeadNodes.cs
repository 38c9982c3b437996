using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.CleanupSteps;

/// <summary>Removes nodes that no output of their graph depends on. Graph inputs stay, read or not: they are the interface.</summary>
internal static class DeadNodes
{
    public static StepResult Apply(OnnxModel model)
    {
        var decisions = new List<Decision>();
        // Innermost first: what only a dead node of a body read is dead, too.
        foreach (var graph in model.Graph.WithBodies().Reverse().ToList())
        {
            var read = graph.Output.Select(o => o.Name).ToHashSet();
            var dead = GraphEdit.Set<NodeProto>();
            foreach (var node in graph.Node.Reverse())
            {
                if (node.Output.Any(read.Contains))
                {
                    read.UnionWith(GraphIndex.Reads(node));
                    continue;
                }

                dead.Add(node);
                decisions.Add(new Decision(node.DisplayName(), node.OpType, "removed", "nothing reads what it computes"));
            }

            GraphEdit.RemoveNodes(graph, dead);
        }

        return StepResult.Of(decisions);
    }
}
