using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Passes.Quantization.Rounding;

namespace ModelBuildTasks.Engine.Passes.Pruning;

/// <summary>Which weights may become zero together.</summary>
/// <param name="Structure">Single weights, N of M, or blocks.</param>
/// <param name="Rows">Output channels that have the same zeros.</param>
/// <param name="Columns">Neighbouring input channels that become zero together.</param>
/// <param name="Keep">N of N:M: how many of a group are left.</param>
/// <param name="Group">M of N:M: input channels of a group.</param>
internal readonly record struct MaskShape(PruneStructure Structure, int Rows, int Columns, int Keep, int Group)
{
    /// <summary>The shape that a plan asks for.</summary>
    public static MaskShape Of(PrunePlan plan) => plan.Structure switch
    {
        PruneStructure.Pattern => new(plan.Structure, 1, 1, plan.Shape.First, plan.Shape.Second),
        PruneStructure.Blocks => new(plan.Structure, plan.Shape.First, plan.Shape.Second, 0, 0),
        _ => new(plan.Structure, 1, 1, 0, 0),
    };

    /// <summary>Whether the number of zeros follows from the shape.</summary>
    public bool IsPattern => Group > 0;

    /// <summary>How many of so many values a pattern makes zero.</summary>
    public long Zeros(long count) => count / Group * (Group - Keep);

    /// <summary>Neighbouring input channels that belong together in any way.</summary>
    private int Neighbours => Math.Max(Columns, Group);

    /// <summary>Why a weight cannot have the shape, or null.</summary>
    /// <param name="rows">The weight's rows.</param>
    public string? Misfit(WeightRows rows)
    {
        if (rows.Inputs % Neighbours != 0)
            return $"its {rows.Inputs} input channel{(rows.Inputs == 1 ? "" : "s")} {(rows.Inputs == 1 ? "is" : "are")} no multiple of {Neighbours}";
        return rows.Count / rows.Groups % Rows != 0 ? $"its {rows.Count / rows.Groups} output channels are no multiple of {Rows}" : null;
    }

    /// <summary>
    /// The columns of a row in the order in which those that belong together follow one another: all input channels of a tap, then the next tap, as the
    /// channels of an NHWC kernel do, which is what sparse hardware takes in.
    /// </summary>
    public int[] Order(WeightRows rows)
    {
        var (taps, grouped) = (rows.Columns / rows.Inputs, Neighbours > 1);
        return [.. Enumerable.Range(0, rows.Columns).Select(i => grouped ? i % rows.Inputs * taps + i / rows.Inputs : i)];
    }
}
