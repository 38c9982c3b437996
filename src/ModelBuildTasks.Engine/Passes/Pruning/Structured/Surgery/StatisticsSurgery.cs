using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Pruning.Structured.Labels;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured.Surgery;

/// <summary>Means and variances over an axis that has become shorter stay those over the whole axis with zeros in place of what went.</summary>
internal static class StatisticsSurgery
{
    public static void Apply(NodeCut node)
    {
        if (node.Input(0) is not { } input)
            return;
        if (node.Node.OpType == "ReduceMean")
            Mean(node, input);
        else if (node.Cut.Kept(input, input.Rank - 1) is { } kept && input.Axis(node.Node.Int("axis", -1)) == input.Rank - 1)
            Normalization(node, input.Rank, kept);
    }

    private static void Mean(NodeCut node, Layout input)
    {
        var given = node.Node.Ints("axes") ?? node.Cut.Labelling.Integers(node.Scope, node.Node.InputOrEmpty(1));
        var axes = given is null or [] ? [.. Enumerable.Range(0, input.Rank)] : given.Select(input.Axis).ToHashSet();
        var share = 1.0;
        foreach (var axis in axes)
        {
            if (node.Cut.Kept(input, axis) is { } kept)
                share *= (double)kept.Count(k => k) / kept.Length;
        }

        if (share == 1)
            return;
        var output = node.Node.Output[0];
        var mean = node.Target.Output[0] = node.Edit.Name(output);
        node.Edit.Insert(node.Address, GraphExtensions.Node("Mul", [mean, node.Edit.Scalar(node.Address, "share", node.Cut.Labelling.Type(node.Node.Input[0]), share)], [output]), behind: true);
    }

    /// <summary>The normalization sees zeros in place of what went: padding and cutting are cheap, and its own kernel stays.</summary>
    private static void Normalization(NodeCut node, int rank, bool[] kept)
    {
        var (left, gone) = (kept.Count(k => k), kept.Count(k => !k));
        for (var i = 0; i < node.Node.Input.Count; i++)
        {
            if (node.Input(i) is not { } layout || layout.Rank == 0 || node.Cut.Kept(layout, layout.Rank - 1) is null)
                continue;
            var padded = node.Edit.Name(node.Node.Input[i]);
            var pads = new long[2 * layout.Rank];
            pads[^1] = gone;
            node.Edit.Insert(node.Address, GraphExtensions.Node("Pad", [node.Node.Input[i], node.Edit.Vector(node.Address, "pads", pads)], [padded]), behind: false);
            node.Target.Input[i] = padded;
        }

        var output = node.Node.Output[0];
        var wide = node.Target.Output[0] = node.Edit.Name(output);
        node.Edit.Insert(node.Address, GraphExtensions.Node("Slice",
        [
            wide, node.Edit.Vector(node.Address, "starts", 0), node.Edit.Vector(node.Address, "ends", left), node.Edit.Vector(node.Address, "axes", rank - 1),
        ], [output]), behind: true);
    }
}
