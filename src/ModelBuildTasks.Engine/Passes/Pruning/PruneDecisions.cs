using System.Globalization;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.Pruning;

/// <summary>Says of each weighted node what became of its weights.</summary>
/// <param name="plan">What was asked for.</param>
/// <param name="model">The pruned model.</param>
/// <param name="done">The pruned weights.</param>
/// <param name="misfits">Weights that cannot have the shape, and why.</param>
internal sealed class PruneDecisions(
    PrunePlan plan, OnnxModel model, IReadOnlyDictionary<PrunableWeight, PrunedWeight> done, IReadOnlyDictionary<PrunableWeight, string> misfits)
{
    /// <summary>A decision for each node, in the order of the nodes.</summary>
    public IReadOnlyList<Decision> Of(IReadOnlyList<WeightedNode> nodes)
    {
        var first = new Dictionary<PrunableWeight, NodeProto>(ReferenceEqualityComparer.Instance);
        return [.. nodes.Select(n => Of(n, first))];
    }

    private Decision Of(WeightedNode found, Dictionary<PrunableWeight, NodeProto> first)
    {
        var (node, weights) = (found.Node, found.Weights.Where(done.ContainsKey).ToList());
        if (weights.Count == 0)
        {
            var kept = node.Input.Select(found.Graph.Constant).OfType<TensorProto>().Sum(model.ByteLength);
            return new(node.DisplayName(), node.OpType, "left", found.Weights.Count > 0 ? misfits[found.Weights[0]] : found.Reason) { BytesBefore = kept, BytesAfter = kept };
        }

        // Zeros take the room that values took: bytes are the same.
        var bytes = weights.Sum(w => model.ByteLength(w.Tensor));
        return new(node.DisplayName(), node.OpType, What(weights), Reason(node, weights, first))
        {
            Sqnr = weights.Min(w => done[w].Sqnr),
            BytesBefore = bytes,
            BytesAfter = bytes,
        };
    }

    private string What(List<PrunableWeight> weights)
    {
        var share = 100.0 * weights.Sum(w => done[w].Zeros) / weights.Sum(w => done[w].Count);
        return plan.Structure == PruneStructure.Pattern ? $"pruned {plan.Shape.First}:{plan.Shape.Second}" : $"pruned {share.ToString("0.0", CultureInfo.InvariantCulture)} %";
    }

    private string Reason(NodeProto node, List<PrunableWeight> weights, Dictionary<PrunableWeight, NodeProto> first)
    {
        if (weights.Find(w => !first.TryAdd(w, node)) is { } shared)
            return $"shares its weight with {first[shared].OpType} '{first[shared].DisplayName()}'";
        var result = weights.Select(w => done[w]).FirstOrDefault(r => r.OutputSqnr is not null);
        if (result is null)
            return weights.Any(w => done[w].Cleared > 0) ? "its values of least magnitude are zero" : "so many of its values were zero before";
        return string.Create(CultureInfo.InvariantCulture, $"{result.Method}: its outputs are predicted to keep {result.OutputSqnr:0.0} dB");
    }
}
