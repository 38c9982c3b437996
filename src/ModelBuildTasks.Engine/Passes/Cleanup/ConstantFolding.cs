using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.CleanupSteps;

/// <summary>
/// Replaces nodes whose inputs are all constant by their results, computed by ONNX Runtime itself: <see cref="FoldingRun"/>
/// computes, <see cref="FoldingChoice"/> chooses, and here the results become initializers of the graph where they are read. What
/// several bodies compute alike is stored once, in the main graph; a result that leaves its graph becomes a <c>Constant</c> node.
/// </summary>
internal static class ConstantFolding
{
    public static StepResult Apply(OnnxModel model, FoldingState state, NameAllocator names)
    {
        var scopes = ConstantScope.All(model);
        using var run = new FoldingRun(model, scopes, state.Failed);
        run.Run();
        var choice = new FoldingChoice(run, scopes);
        choice.Settle(state);

        var shared = Shared(model, choice, names);
        var decisions = new List<Decision>();
        foreach (var scope in scopes)
        {
            var nodes = new List<NodeProto>();
            var moved = new Dictionary<string, string>();
            foreach (var node in scope.Index.Graph.Node)
            {
                if (choice.Chosen.ContainsKey(node))
                {
                    Store(model, scope, node, choice, shared, nodes, moved);
                    decisions.Add(new Decision(node.DisplayName(), node.OpType, "folded", "all its inputs are constant"));
                    continue;
                }

                nodes.Add(node);
                if (run.Computed.ContainsKey(node))
                    decisions.Add(new Decision(node.DisplayName(), node.OpType, StepResult.Left, "its inputs are constant, but its result would make the file larger"));
                else if (run.Refused.TryGetValue(node, out var reason))
                    decisions.Add(new Decision(node.DisplayName(), node.OpType, StepResult.Left, reason));
            }

            if (nodes.SequenceEqual(scope.Index.Graph.Node, ReferenceEqualityComparer.Instance))
                continue;
            scope.Index.Graph.Node.Clear();
            scope.Index.Graph.Node.AddRange(nodes);
            GraphEdit.ReplaceReads(scope.Index.Graph, moved);
        }

        return StepResult.Of(decisions);
    }

    /// <summary>Names in the main graph for results that more than one graph would store.</summary>
    private static Dictionary<Known, string> Shared(OnnxModel model, FoldingChoice choice, NameAllocator names)
    {
        var shared = new Dictionary<Known, string>();
        var alike = choice.Chosen
            .SelectMany(c => c.Key.Output.Where(o => o.Length > 0 && !c.Value.Index.IsOutput(o)).Select(o => (Scope: c.Value, Result: c.Value.Find(o)!)))
            .Where(r => r.Result.Bytes > FoldingChoice.Tiny && choice.IsStored(r.Result))
            .GroupBy(r => FoldingChoice.Hash(r.Result))
            .Where(g => g.Select(r => r.Scope).Distinct().Skip(1).Any());
        foreach (var group in alike)
        {
            var first = group.First().Result;
            var name = names.Next(first.Tensor.Name);
            model.Graph.Initializer.Add(Tensor(model, name, first));
            foreach (var (_, result) in group)
                shared[result] = name;
        }

        return shared;
    }

    private static void Store(
        OnnxModel model, ConstantScope scope, NodeProto node, FoldingChoice choice, Dictionary<Known, string> shared, List<NodeProto> nodes, Dictionary<string, string> moved)
    {
        foreach (var output in node.Output.Where(o => o.Length > 0))
        {
            var result = scope.Find(output)!;
            if (!choice.IsStored(result))
                continue;
            if (shared.TryGetValue(result, out var name))
                moved[output] = name;
            else if (scope.Index.IsOutput(output))
                nodes.Add(GraphExtensions.Node("Constant", [], [output], node.Name).Set("value", Tensor(model, output, result)));
            else
                scope.Index.Graph.Initializer.Add(Tensor(model, output, result));
        }
    }

    private static TensorProto Tensor(OnnxModel model, string name, Known value) =>
        model.CreateTensor(name, value.Type, value.Dims, new ReadOnlyMemory<byte>(value.Owner.ReadBytes(value.Tensor)));
}
