using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Pruning.Structured.Labels;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured;

/// <summary>Which parts of a model can be cut out together, and what holds the rest back.</summary>
/// <param name="Groups">The groups, in the order of the nodes that make their units.</param>
/// <param name="Barriers">What held weights back, in graph order.</param>
/// <param name="Branches">Residual branches that can go as a whole, in graph order.</param>
internal sealed record ChannelAnalysis(IReadOnlyList<ChannelGroup> Groups, IReadOnlyList<Barrier> Barriers, IReadOnlyList<ResidualBranch> Branches)
{
    /// <summary>Analyses a model that <see cref="Cleanup"/> has been over.</summary>
    /// <param name="model">The model; it stays as it is.</param>
    /// <param name="shapes">Values by name, see <see cref="ValueTypes"/>; free dimensions are unknown.</param>
    /// <param name="observed">The same of a run, where there was one: multiply-accumulates are counted with what is free in <paramref name="shapes"/>.</param>
    public static ChannelAnalysis Of(OnnxModel model, IReadOnlyDictionary<string, ValueDescription> shapes, IReadOnlyDictionary<string, ValueDescription>? observed = null)
    {
        var labelling = Labelling.Of(model, shapes);
        var groups = new GroupBuilder(labelling, new UnitWork(labelling, observed ?? shapes)).Build();
        return new([.. groups.Select(g => g.Group)], BarrierReport.Of(labelling), BranchSearch.Find(labelling, observed ?? shapes))
        {
            Labelling = labelling,
            Classes = [.. groups.Select(g => g.Classes)],
        };
    }

    /// <summary>The cells of all axes; they say what surgery has to change.</summary>
    internal required Labelling Labelling { get; init; }

    /// <summary>For each group, the classes of cells that its units are.</summary>
    internal required IReadOnlyList<int[]> Classes { get; init; }
}

/// <summary>A node, input or output that keeps units from being removed.</summary>
/// <param name="Node">The node's name for people; the value's for an input or output of the model.</param>
/// <param name="Op">Operator type; <c>Input</c> or <c>Output</c> for those of the model.</param>
/// <param name="Reason">Why, in words a user understands.</param>
/// <param name="Weights">The weights that it held back, by name.</param>
/// <param name="Parameters">Their elements that cannot go along any axis.</param>
internal sealed record Barrier(string Node, string Op, string Reason, IReadOnlyList<string> Weights, long Parameters);
