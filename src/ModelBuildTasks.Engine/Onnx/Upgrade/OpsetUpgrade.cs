using ModelBuildTasks.Engine.Onnx.Upgrade;

namespace ModelBuildTasks.Engine.Onnx;

/// <summary>
/// Rewrites a model for a newer version of the default operator set without changing what it computes. The facts are those of
/// the ONNX operator specification's change log.
/// </summary>
internal static class OpsetUpgrade
{
    /// <summary>The newest opset that models can be brought to.</summary>
    public const long Newest = OperatorHistory.Last;

    private static readonly Dictionary<(string, long), Adapter> _adapters =
        Adapters.All.ToDictionary(a => (a.OpType, a.Opset));

    /// <summary>
    /// Brings a model to opset <paramref name="target"/>, version by version, bodies of control flow included. All or nothing:
    /// a node that cannot be followed leaves the whole model where it is, with the reason. A model at or beyond the target, or
    /// without operators of the default domain, is given back as it is.
    /// </summary>
    public static UpgradeResult Upgrade(OnnxModel model, long target)
    {
        var imports = model.Proto.OpsetImport.Where(IsDefault).ToList();
        if (imports.Count == 0)
            return new(model, 0, 0, null, []);
        var from = imports.Max(o => o.Version);
        if (from >= target)
            return new(model, from, from, null, []);
        if (WhyNot(model, imports, target) is { } reason)
            return new(model, from, from, reason, []);

        var upgraded = model.Clone();
        var scope = new UpgradeScope(model, upgraded);
        var changes = new List<string>();
        for (var opset = from + 1; opset <= target; opset++)
        {
            var counts = new Dictionary<Adapter, int>();
            if (Raise(scope, upgraded.Graph, null, opset, counts) is { } failure)
                return new(model, from, from, failure, []);
            changes.AddRange(counts.Select(c => $"{c.Key.OpType}: {c.Key.Change} (opset {opset}, {c.Value} {(c.Value == 1 ? "node" : "nodes")})"));
        }

        foreach (var import in upgraded.Proto.OpsetImport.Where(IsDefault))
            import.Version = target;
        RaiseIr(upgraded, target, changes);
        return new(upgraded, from, target, null, changes);
    }

    private static bool Changes(NodeProto node, long opset) => node.IsStandard() && OperatorHistory.ChangedForm(node.OpType, opset);

    private static bool IsDefault(OperatorSetIdProto import) => import.Domain is "" or "ai.onnx";

    private static string? WhyNot(OnnxModel model, List<OperatorSetIdProto> imports, long target)
    {
        var from = imports[0].Version;
        if (imports.Exists(o => o.Version != from))
            return "the model imports the default operator set in two versions";
        if (from < OperatorHistory.First)
            return $"opset {from} is older than {OperatorHistory.First}, the first that can be upgraded";
        if (target > OperatorHistory.Last)
            return $"opset {target} is newer than {OperatorHistory.Last}, the last that models can be upgraded to";
        if (model.Proto.Functions.Count > 0)
            return $"the model defines functions of its own ('{model.Proto.Functions[0].Name}')";
        var unknown = model.Graph.WithBodies().SelectMany(g => g.Node).FirstOrDefault(n => n.IsStandard() && !OperatorHistory.Exists(n.OpType, from));
        if (unknown is not null)
            return $"{Named(unknown)} is no operator of opset {from}";
        var missing = model.Graph.WithBodies().SelectMany(g => g.Node).FirstOrDefault(n => n.IsStandard() && OperatorHistory.Missing(n.OpType, from, target) is not null);
        return missing is null ? null : $"ONNX Runtime has no {Named(missing)} of opset {OperatorHistory.Missing(missing.OpType, from, target)}";
    }

    private static string? Raise(UpgradeScope scope, GraphProto graph, GraphIndex? outer, long opset, Dictionary<Adapter, int> counts)
    {
        if (!graph.WithBodies().SelectMany(g => g.Node).Any(n => Changes(n, opset)))
            return null;
        // The index shows the graph as it was before this opset.
        var index = new GraphIndex(scope.Model, graph, outer);
        var nodes = new List<NodeProto>(graph.Node.Count);
        foreach (var node in graph.Node)
        {
            foreach (var body in node.Bodies())
            {
                if (Raise(scope, body, index, opset, counts) is { } inside)
                    return inside;
            }

            if (!Changes(node, opset))
            {
                nodes.Add(node);
                continue;
            }

            if (!_adapters.TryGetValue((node.OpType, opset), out var adapter))
                return $"{Named(node)} changed in opset {opset} in a way that cannot be followed";
            var before = node.Clone();
            var rewrite = new Rewrite(scope, graph, index, node);
            var why = node.Input.Count == 0 || node.Output.Count == 0 ? "it has no input or no output" : adapter.Apply(rewrite);
            if (why is not null)
                return $"{Named(before)}: {why} (opset {opset})";
            if (rewrite.Nodes is not [var same] || !same.Equals(before))
                counts[adapter] = counts.GetValueOrDefault(adapter) + 1;
            nodes.AddRange(rewrite.Nodes);
        }

        graph.Node.Clear();
        graph.Node.AddRange(nodes);
        return null;
    }

    /// <summary>
    /// A newer opset needs a newer version of the file format. In IR 3 weights had to be listed as inputs; from IR 4 on that
    /// would mean that the caller may replace them, and runtimes would no longer treat them as constant.
    /// </summary>
    private static void RaiseIr(OnnxModel model, long opset, List<string> changes)
    {
        var old = model.Proto.IrVersion;
        if (old < 4)
        {
            var listed = GraphEdit.RemoveInitializedInputs(model.Graph);
            if (listed > 0)
                changes.Add($"{listed} weights are no longer listed as inputs");
        }

        model.Proto.IrVersion = Math.Max(old, opset switch { <= 9 => 4, 10 => 5, 11 => 6, <= 14 => 7, <= 18 => 8, <= 20 => 9, <= 22 => 10, 23 => 11, 24 => 12, _ => 13 });
    }

    private static string Named(NodeProto node) =>
        $"operator {node.OpType} (node '{node.DisplayName()}')";
}
