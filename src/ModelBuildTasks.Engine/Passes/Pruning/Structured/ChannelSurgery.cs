using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.CleanupSteps;
using ModelBuildTasks.Engine.Passes.Pruning.Structured.Surgery;
using ModelBuildTasks.Engine.Passes.Quantization.Search;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured;

/// <summary>Cuts units out of a model: tensors, attributes, and every constant that says how many there are.</summary>
internal static class ChannelSurgery
{
    /// <summary>Removes units. All removals of one analysis are made in one call: afterwards nodes and indices are others.</summary>
    /// <param name="clone">A clone of the analysed model; it is edited.</param>
    /// <param name="analysis">The analysis of the model.</param>
    /// <param name="removed">The units that go, by the id of their group.</param>
    /// <exception cref="ArgumentException">A value or tensor would have nothing left, see <see cref="Vanishing"/>.</exception>
    public static void Remove(OnnxModel clone, ChannelAnalysis analysis, IReadOnlyDictionary<int, IReadOnlyList<int>> removed)
    {
        var cut = new Cut(analysis, removed);
        if (cut.Vanishing() is { } vanishing)
            throw new ArgumentException(vanishing, nameof(removed));
        var edit = new SurgeryEdit(clone, cut);
        foreach (var scope in analysis.Labelling.Scopes)
        {
            var nodes = scope.Index.Graph.Node;
            for (var i = 0; i < nodes.Count; i++)
                NodeSurgery.Apply(new NodeCut(edit, scope, nodes[i], new NodeAddress(scope.Number, i)));
        }

        edit.Finish();
        ConstantSurgery.Apply(clone, cut);
        DeadNodes.Apply(clone);
        _ = UnusedInitializers.Remove(clone.Graph);
    }

    /// <summary>What would have nothing left after a removal, in words; null when all is well.</summary>
    public static string? Vanishing(ChannelAnalysis analysis, IReadOnlyDictionary<int, IReadOnlyList<int>> removed) => new Cut(analysis, removed).Vanishing();

    /// <summary>Removes whole branches; where an Add joined one, its readers read what went around it. Not in one model with <see cref="Remove"/>: analyse anew.</summary>
    public static void RemoveBranches(OnnxModel clone, ChannelAnalysis analysis, IReadOnlyCollection<int> branches)
    {
        var map = new NodeMap(clone);
        foreach (var branch in branches.Order().Select(b => analysis.Branches[b]))
        {
            var join = map.Node(branch.Join);
            var around = join.Input[branch.Shortcut];
            join.OpType = "Identity";
            join.Input.Clear();
            join.Input.Add(around);
        }

        DeadNodes.Apply(clone);
        _ = PassThroughNodes.Apply(clone, new InferredTypes(clone));
        _ = UnusedInitializers.Remove(clone.Graph);
    }
}
