using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Pruning.Structured.Labels;
using ModelBuildTasks.Engine.Passes.Quantization.Search;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured;

/// <summary>Finds residual branches: weighted nodes that only one side of an Add needs, which starts from what the other side is.</summary>
internal static class BranchSearch
{
    public static IReadOnlyList<ResidualBranch> Find(Labelling labelling, IReadOnlyDictionary<string, ValueDescription> shapes)
    {
        var branches = new List<ResidualBranch>();
        var sample = UnitWork.Sample(shapes);
        foreach (var scope in labelling.Scopes)
        {
            var graph = scope.Index.Graph;
            var places = new Dictionary<NodeProto, int>(ReferenceEqualityComparer.Instance);
            for (var i = 0; i < graph.Node.Count; i++)
                places[graph.Node[i]] = i;
            foreach (var join in graph.Node.Where(n => n.Is("Add") && n.Input.Count == 2))
            {
                for (var shortcut = 0; shortcut < 2; shortcut++)
                {
                    if (Branch(scope, join, shortcut, places) is not { Count: > 0 } nodes || !SameShape(labelling, scope, join, shortcut))
                        continue;
                    var first = nodes.FirstOrDefault(i => IsWeighted(scope, graph.Node[i]), -1);
                    if (first < 0)
                        continue;
                    var address = new NodeAddress(scope.Number, places[join]);
                    branches.Add(new(branches.Count, graph.Node[first].DisplayName(), address, shortcut, [.. nodes.Select(i => new NodeAddress(scope.Number, i))],
                        Parameters(scope, nodes), nodes.Sum(i => NodeWork.Macs(graph.Node[i], sample))));
                }
            }
        }

        return branches;
    }

    /// <summary>Places of the nodes that only the branch side of an Add needs, in order; empty where it does not start from the other side.</summary>
    private static List<int> Branch(Scope scope, NodeProto join, int shortcut, Dictionary<NodeProto, int> places)
    {
        var (around, end) = (join.Input[shortcut], join.Input[1 - shortcut]);
        if (around == end || scope.Index.Producer(end) is not { } last)
            return [];
        var nodes = new SortedSet<int>();
        var open = new SortedSet<int> { places[last] };
        var starts = false;
        while (open.Count > 0)
        {
            // The last one first: all its readers have been seen.
            var at = open.Max;
            open.Remove(at);
            var node = scope.Index.Graph.Node[at];
            var needed = node.Output.Where(o => o.Length > 0).Any(o => scope.Index.IsOutput(o) || o == around
                || scope.Index.Consumers(o).Any(c => !nodes.Contains(places[c]) && !(ReferenceEquals(c, join) && o == end)));
            if (needed)
                continue;
            nodes.Add(at);
            foreach (var name in GraphIndex.Reads(node))
            {
                starts |= name == around;
                if (scope.Index.Producer(name) is { } producer)
                    open.Add(places[producer]);
            }
        }

        return starts ? [.. nodes] : [];
    }

    private static bool SameShape(Labelling labelling, Scope scope, NodeProto join, int shortcut)
    {
        if (labelling.Label(scope, join.Input[shortcut]).Layout is not { } around || labelling.Label(scope, join.Input[1 - shortcut]).Layout is not { } branch || around.Rank != branch.Rank)
            return false;
        for (var axis = 0; axis < around.Rank; axis++)
        {
            // A shortcut of length 1 would be spread by the Add.
            if (around.Axes[axis].Count == 0 && branch.Axes[axis].Count > 0)
                return false;
            if (around.Length(axis) < 0 && branch.Axes[axis].Count > 0 && !around.Axes[axis].SequenceEqual(branch.Axes[axis], ReferenceEqualityComparer.Instance) && axis > 0)
                return false;
        }

        return true;
    }

    private static bool IsWeighted(Scope scope, NodeProto node) =>
        node.IsStandard() && node.OpType is "Conv" or "ConvTranspose" or "MatMul" or "Gemm" or "LSTM" or "GRU" or "RNN" && node.Input.Any(i => scope.Index.Constant(i) is { Dims.Count: > 1 });

    private static long Parameters(Scope scope, List<int> nodes)
    {
        var all = nodes.Select(i => scope.Index.Graph.Node[i]).ToHashSet((IEqualityComparer<NodeProto>)ReferenceEqualityComparer.Instance);
        return all.SelectMany(GraphIndex.Reads).Distinct().Where(n => scope.Index.Consumers(n).All(all.Contains))
            .Sum(n => scope.Index.Constant(n) is { } tensor && ElementTypes.IsFloat((TensorProto.Types.DataType)tensor.DataType) ? ElementTypes.Count(tensor.Dims) : 0);
    }
}
