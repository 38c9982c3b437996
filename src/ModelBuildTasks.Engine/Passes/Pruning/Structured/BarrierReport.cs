using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Pruning.Structured.Labels;
using ModelBuildTasks.Engine.Passes.Pruning.Structured.Rules;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured;

/// <summary>Which barriers held which weights back.</summary>
internal static class BarrierReport
{
    /// <summary>The barriers behind every axis of a float weight along which nothing can go, in graph order; those that hold nothing back are left out.</summary>
    public static IReadOnlyList<Barrier> Of(Labelling labelling)
    {
        var held = new SortedDictionary<int, (SortedSet<string> Weights, long Parameters)>();
        foreach (var ((graph, name), axes) in labelling.Constants)
        {
            var tensor = labelling.Scopes[graph].Index.Constant(name)!;
            if (!ElementTypes.IsFloat((DataType)tensor.DataType) || tensor.Dims.Count < 2)
                continue;
            // An element is held back when it is on every one of its axes.
            var pins = axes.Select(cells => (cells ?? []).Select(labelling.Cells.Pin).ToList()).ToList();
            var stuck = pins.Aggregate(1L, (p, axis) => p * (axis.Count == 0 ? 1 : axis.Count(b => b >= 0)));
            foreach (var barrier in pins.SelectMany(p => p).Where(b => b >= 0 && labelling.Barriers[b].Reason is not (ConvolutionRules.Window or RecurrentRules.Direction)).Distinct())
            {
                if (!held.TryGetValue(barrier, out var entry))
                    held[barrier] = entry = (new SortedSet<string>(StringComparer.Ordinal), 0);
                entry.Weights.Add(name);
                held[barrier] = (entry.Weights, entry.Parameters + stuck);
            }
        }

        return [.. held.Select(h => new Barrier(labelling.Barriers[h.Key].Node, labelling.Barriers[h.Key].Op, labelling.Barriers[h.Key].Reason, [.. h.Value.Weights], h.Value.Parameters))];
    }
}
