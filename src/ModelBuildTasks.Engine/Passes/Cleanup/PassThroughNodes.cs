using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.CleanupSteps;

/// <summary>
/// Removes nodes that give back their input: <c>Identity</c>, <c>Dropout</c> in inference, <c>Cast</c> to the type the value
/// has, <c>Transpose</c> that keeps the order of axes. Names of graph inputs and outputs never change: before an output,
/// such a node goes only where the value behind it can take the output's name.
/// </summary>
internal static class PassThroughNodes
{
    public static StepResult Apply(OnnxModel model, InferredTypes types)
    {
        var decisions = new List<Decision>();
        foreach (var index in GraphEdit.Indexes(model))
        {
            var graph = index.Graph;
            var nested = GraphEdit.NestedDefinitions(graph);
            var removed = GraphEdit.Set<NodeProto>();
            var map = new Dictionary<string, string>();
            foreach (var node in graph.Node)
            {
                if (Reason(model, index, types, node) is not { } reason)
                    continue;
                var (source, result) = (node.Input[0], node.Output[0]);
                if (!index.IsOutput(result))
                {
                    if (nested.Contains(source))
                        continue;
                    map[result] = source;
                }
                else if (!TakesName(index, source, result, removed, map, nested))
                {
                    continue;
                }

                removed.Add(node);
                decisions.Add(new Decision(node.DisplayName(), node.OpType, "removed", reason));
            }

            GraphEdit.RemoveNodes(graph, removed);
            GraphEdit.ReplaceReads(graph, map);
        }

        return StepResult.Of(decisions);
    }

    /// <summary>Gives the value <paramref name="source"/> the name of the graph output that it becomes, where that is possible.</summary>
    private static bool TakesName(
        GraphIndex index, string source, string result, HashSet<NodeProto> removed, Dictionary<string, string> map, HashSet<string> nested)
    {
        if (index.Producer(source) is not { } producer || removed.Contains(producer) || index.IsOutput(source) || map.ContainsKey(source) || nested.Contains(result))
            return false;
        producer.Output[producer.Output.IndexOf(source)] = result;
        map[source] = result;
        return true;
    }

    private static string? Reason(OnnxModel model, GraphIndex index, InferredTypes types, NodeProto node)
    {
        if (!node.IsStandard() || node.InputOrEmpty(0).Length == 0 || node.Output.Count == 0 || node.Output[0].Length == 0)
            return null;
        return node.OpType switch
        {
            "Identity" => "gives back its input",
            "Dropout" when IsInference(model, index, node) => "does nothing in inference",
            "Cast" when types.Type(node.Input[0]) is { } type && (int)type == node.Int("to", -1) => "the value has this type already",
            "Transpose" when node.Ints("perm") is { } perm && perm.Select((p, i) => p == i).All(same => same) => "keeps the order of axes",
            _ => null,
        };
    }

    private static bool IsInference(OnnxModel model, GraphIndex index, NodeProto node)
    {
        var mask = node.Output.Count > 1 ? node.Output[1] : "";
        if (mask.Length > 0 && (index.IsOutput(mask) || index.Consumers(mask).Count > 0))
            return false;
        if (model.Opset < 7)
            return node.Int("is_test") != 0;
        var mode = node.InputOrEmpty(2);
        return mode.Length == 0 || index.Constant(mode) is { } tensor && model.ReadInt64s(tensor).All(v => v == 0);
    }
}
