using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.CleanupSteps;

/// <summary>
/// Chooses which computed nodes are replaced by their results, so that the file does not grow by it: nodes that share a tensor of
/// some size stand or fall together, since the tensor goes only when all of them do (the slices that reorder a weight's gates).
/// </summary>
internal sealed class FoldingChoice
{
    /// <summary>Tensors up to this neither count nor tie nodes together.</summary>
    public const long Tiny = 1024;

    private readonly Dictionary<NodeProto, ConstantScope> _chosen;
    private readonly Dictionary<Known, List<(NodeProto Node, int Input)>> _readers = [];
    private readonly HashSet<Known> _outputs = [];
    private readonly HashSet<Known> _results;

    public FoldingChoice(FoldingRun run, IReadOnlyList<ConstantScope> scopes)
    {
        _chosen = new(run.Computed, ReferenceEqualityComparer.Instance);
        _results = [.. _chosen.Keys.SelectMany(Results)];
        foreach (var scope in scopes)
        {
            foreach (var node in scope.Index.Graph.Node)
            {
                for (var i = 0; i < node.Input.Count; i++)
                {
                    if (scope.Find(node.Input[i]) is { } value)
                        (_readers.TryGetValue(value, out var list) ? list : _readers[value] = []).Add((node, i));
                }
            }

            _outputs.UnionWith(scope.Index.Graph.Output.Select(o => scope.Find(o.Name)).OfType<Known>());
        }
    }

    /// <summary>The nodes to replace.</summary>
    public IReadOnlyDictionary<NodeProto, ConstantScope> Chosen => _chosen;

    /// <summary>Whether a result has to be stored: a node that stays reads it, or it leaves its graph.</summary>
    public bool IsStored(Known result) => _outputs.Contains(result) || Readers(result).Any(r => !_chosen.ContainsKey(r.Node));

    /// <summary>Drops nodes until what is left does not make the file larger than <paramref name="state"/> allows.</summary>
    public void Settle(FoldingState state)
    {
        while (true)
        {
            var dropped = new HashSet<NodeProto>(ReferenceEqualityComparer.Instance);
            var accepted = (Small: 0L, Weights: 0L);
            foreach (var group in Groups())
            {
                var stored = group.SelectMany(Results).Where(r => r.Bytes > Tiny && IsStored(r)).ToHashSet();
                var freed = group.SelectMany(n => _chosen[n].Inputs(n)!).OfType<Known>().Distinct()
                    .Where(v => v.Bytes > Tiny && !_results.Contains(v) && !IsStored(v)).Sum(v => v.Bytes);
                var growth = Math.Max(0, stored.DistinctBy(Hash).Sum(v => v.Bytes) - freed);
                var weights = growth > 0 && stored.All(IsWeight) && growth <= FoldingRun.LargeResult;
                if (weights && accepted.Weights + growth <= state.WeightGrowth)
                    accepted.Weights += growth;
                else if (accepted.Small + growth <= state.SmallGrowth)
                    accepted.Small += growth;
                else
                    dropped.UnionWith(group.Where(n => Results(n).Any(stored.Contains)));
            }

            if (dropped.Count == 0)
            {
                state.SmallGrowth -= accepted.Small;
                state.WeightGrowth -= accepted.Weights;
                return;
            }

            Drop(dropped);
        }
    }

    /// <summary>The same for two results of the same type, shape and bytes.</summary>
    public static string Hash(Known value) => $"{value.Type}:{string.Join(',', value.Dims)}:{value.Hash()}";

    private void Drop(IEnumerable<NodeProto> nodes)
    {
        // What reads a result that is not stored cannot be computed ahead either.
        var queue = new Queue<NodeProto>(nodes);
        while (queue.TryDequeue(out var node))
        {
            if (!_chosen.TryGetValue(node, out var scope))
                continue;
            var readers = Results(node).SelectMany(Readers).Select(r => r.Node).Where(_chosen.ContainsKey).ToList();
            _chosen.Remove(node);
            readers.ForEach(queue.Enqueue);
        }
    }

    /// <summary>The chosen nodes in groups that share a tensor of some size, in the order of the model.</summary>
    private IEnumerable<List<NodeProto>> Groups()
    {
        var parent = _chosen.Keys.ToDictionary(n => n, n => n, (IEqualityComparer<NodeProto>)ReferenceEqualityComparer.Instance);
        NodeProto Root(NodeProto node)
        {
            while (!ReferenceEquals(parent[node], node))
                node = parent[node] = parent[parent[node]];
            return node;
        }

        foreach (var (value, readers) in _readers.Where(r => r.Key.Bytes > Tiny))
        {
            var tied = readers.Select(r => r.Node).Where(_chosen.ContainsKey).ToList();
            foreach (var node in tied.Skip(1))
                parent[Root(node)] = Root(tied[0]);
        }

        foreach (var node in _chosen.Keys)
        {
            foreach (var reader in Results(node).Where(r => r.Bytes > Tiny).SelectMany(Readers).Select(r => r.Node).Where(_chosen.ContainsKey))
                parent[Root(reader)] = Root(node);
        }

        return _chosen.Keys.GroupBy(Root, (IEqualityComparer<NodeProto>)ReferenceEqualityComparer.Instance).Select(g => g.ToList());
    }

    private IEnumerable<Known> Results(NodeProto node) => node.Output.Where(o => o.Length > 0).Select(o => _chosen[node].Find(o)!);

    private IReadOnlyList<(NodeProto Node, int Input)> Readers(Known value) => _readers.TryGetValue(value, out var list) ? list : [];

    private bool IsWeight(Known value) => !_outputs.Contains(value) && Readers(value).All(r => _chosen.ContainsKey(r.Node)
        || r.Node.IsStandard() && r.Node.OpType switch
        {
            "Conv" or "ConvTranspose" or "Gemm" => r.Input == 1,
            "MatMul" => true,
            "LSTM" or "GRU" or "RNN" => r.Input is 1 or 2 or 3,
            _ => false,
        });
}
