using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured;

/// <summary>Cuts units out of a model: tensors, attributes, and every constant that says how many there are.</summary>
internal static partial class ChannelSurgery
{
    /// <summary>Removes units. All removals of one analysis are made in one call: afterwards nodes and indices are others.</summary>
    /// <param name="clone">A clone of the analysed model; it is edited.</param>
    /// <param name="analysis">The analysis of the model.</param>
    /// <param name="removed">The units that go, by the id of their group.</param>
    /// <exception cref="ArgumentException">A value or tensor would have nothing left, see <see cref="Vanishing"/>.</exception>
    public static partial void Remove(OnnxModel clone, ChannelAnalysis analysis, IReadOnlyDictionary<int, IReadOnlyList<int>> removed);

    /// <summary>What would have nothing left after a removal, in words; null when all is well.</summary>
    public static partial string? Vanishing(ChannelAnalysis analysis, IReadOnlyDictionary<int, IReadOnlyList<int>> removed);

    /// <summary>Removes whole branches; where an Add joined one, its readers read what went around it. Not in one model with <see cref="Remove"/>: analyse anew.</summary>
    public static partial void RemoveBranches(OnnxModel clone, ChannelAnalysis analysis, IReadOnlyCollection<int> branches);
}
