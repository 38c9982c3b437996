using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.Pruning.Sequential;

/// <summary>The order in which weights are pruned where each is to make up for what was pruned in front of it.</summary>
internal static class Stages
{
    // Each takes a run of both models over the calibration data.
    private const int Most = 16;

    /// <summary>Groups of weights, from the inputs on: those of a group do not read what others of it make, as far as so few groups allow.</summary>
    /// <param name="model">A model without bodies.</param>
    /// <param name="weights">The weights.</param>
    public static IReadOnlyList<IReadOnlyList<PrunableWeight>> Of(OnnxModel model, IReadOnlyList<PrunableWeight> weights)
    {
        var mine = weights.SelectMany(w => w.Uses.Select(u => (u.Node, Weight: w))).GroupBy(p => p.Node, ReferenceEqualityComparer.Instance).ToDictionary(g => (NodeProto)g.Key!, g => g.First().Weight, (IEqualityComparer<NodeProto>)ReferenceEqualityComparer.Instance);
        var depths = new Dictionary<string, int>();
        var levels = new Dictionary<PrunableWeight, int>(ReferenceEqualityComparer.Instance);
        foreach (var node in model.Graph.Node)
        {
            var depth = node.Input.Max(i => (int?)depths.GetValueOrDefault(i)) ?? 0;
            if (mine.TryGetValue(node, out var weight))
            {
                levels.TryAdd(weight, depth);
                depth++;
            }

            foreach (var output in node.Output)
                depths[output] = depth;
        }

        var byLevel = weights.GroupBy(w => levels.GetValueOrDefault(w)).OrderBy(g => g.Key).Select(g => g.ToList()).ToList();
        return byLevel.Count <= Most ? byLevel : [.. byLevel.Index().GroupBy(l => l.Index * Most / byLevel.Count).Select(g => g.SelectMany(l => l.Item).ToList())];
    }
}
