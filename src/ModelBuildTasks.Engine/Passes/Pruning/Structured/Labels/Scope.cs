using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured.Labels;

/// <summary>What is known of a value.</summary>
/// <param name="Layout">Its axes; null where its rank is not known.</param>
/// <param name="IsZero">Whether it is zero at units whose weights, biases and scales are all zero.</param>
internal sealed record ValueLabel(Layout? Layout, bool IsZero);

/// <summary>A dimension that a shape vector holds.</summary>
/// <param name="Value">The number, where it is known.</param>
/// <param name="Atoms">The axis that it is the length of, where it is known.</param>
internal sealed record Dimension(long? Value, IReadOnlyList<Atom>? Atoms);

/// <summary>How a value that comes out of split and permuted axes is made from the axis before the split.</summary>
/// <param name="Source">Where the cells come from.</param>
/// <param name="Axis">The value's axis that has them.</param>
internal sealed record Regathering(BlockSource Source, int Axis);

/// <summary>The values of one graph.</summary>
internal sealed class Scope(int number, GraphIndex index)
{
    /// <summary>The graph's number, see <see cref="GraphIndex.Number"/>.</summary>
    public int Number => number;

    public GraphIndex Index => index;

    /// <summary>Computed values and inputs by name.</summary>
    public Dictionary<string, ValueLabel> Values { get; } = [];

    /// <summary>Integer vectors of which some elements are lengths of axes, by name.</summary>
    public Dictionary<string, Dimension[]> Shapes { get; } = [];

    /// <summary>Values that can be gathered anew, by name.</summary>
    public Dictionary<string, Regathering> Regatherings { get; } = [];
}
