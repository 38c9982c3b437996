using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Autodiff;

/// <summary>Puts the branch of an If whose condition is constant in the place of the If, in the main graph.</summary>
internal static class ConstantBranches
{
    public static int Apply(OnnxModel model, NameAllocator names)
    {
        var graph = model.Graph;
        var index = new GraphIndex(model, graph);
        var nodes = new List<NodeProto>();
        var changes = 0;
        foreach (var node in graph.Node)
        {
            if (node.Is("If") && index.Constant(node.Input[0]) is { } condition
                && node.Attribute(model.ReadInt64s(condition)[0] != 0 ? "then_branch" : "else_branch")?.G is { } branch)
            {
                Inline(graph, node, branch, nodes, names);
                changes++;
            }
            else
            {
                nodes.Add(node);
            }
        }

        if (changes == 0)
            return 0;
        graph.Node.Clear();
        graph.Node.AddRange(nodes);
        return changes;
    }

    private static void Inline(GraphProto graph, NodeProto node, GraphProto branch, List<NodeProto> nodes, NameAllocator names)
    {
        // Branches beside each other may use the same names: what the branch defines gets names of its own.
        var own = GraphEdit.Definitions(branch).ToDictionary(name => name, name => names.Next(name));
        foreach (var tensor in branch.Initializer)
        {
            var copy = tensor.Clone();
            copy.Name = own[tensor.Name];
            graph.Initializer.Add(copy);
        }

        var body = branch.Clone();
        GraphEdit.ReplaceReads(body, own);
        foreach (var inner in body.Node)
        {
            for (var i = 0; i < inner.Output.Count; i++)
                inner.Output[i] = inner.Output[i].Length == 0 ? "" : own[inner.Output[i]];
            nodes.Add(inner);
        }

        for (var i = 0; i < node.Output.Count; i++)
        {
            if (node.Output[i].Length > 0)
                nodes.Add(GraphExtensions.Node("Identity", [own.GetValueOrDefault(branch.Output[i].Name, branch.Output[i].Name)], [node.Output[i]]));
        }
    }
}
