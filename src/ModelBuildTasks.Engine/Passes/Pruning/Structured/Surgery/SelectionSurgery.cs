using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Pruning.Structured.Labels;
using ModelBuildTasks.Engine.Passes.Pruning.Structured.Rules;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured.Surgery;

/// <summary>Split, Slice and Gather along axes that have become shorter.</summary>
internal static class SelectionSurgery
{
    public static void Apply(NodeCut node)
    {
        if (node.Input(0) is not { } input)
            return;
        switch (node.Node.OpType)
        {
            case "Split":
                Split(node, input);
                break;
            case "Gather" when input.Axis(node.Node.Int("axis")) is >= 0 and var axis && node.Cut.Kept(input, axis) is { } kept:
                Gather(node, kept);
                break;
            case "Slice":
                Slice(node, input);
                break;
            default:
                break;
        }
    }

    private static void Split(NodeCut node, Layout input)
    {
        var axis = input.Axis(node.Node.Int("axis"));
        if (axis < 0 || node.Cut.Kept(input, axis) is not { } kept)
            return;
        var sizes = new long[node.Node.Output.Count];
        var at = 0;
        for (var i = 0; i < sizes.Length; i++)
        {
            var size = (int)Size(node, i, kept.Length);
            sizes[i] = kept.AsSpan(at, size).Count(true);
            at += size;
        }

        node.Target.RemoveAttribute("num_outputs");
        node.SetInts("split", 1, sizes);
    }

    /// <summary>Length of an output before.</summary>
    private static long Size(NodeCut node, int output, int length)
    {
        if ((node.Node.Ints("split") ?? node.Cut.Labelling.Integers(node.Scope, node.Node.InputOrEmpty(1))) is { } sizes)
            return sizes[output];
        var chunk = (length + node.Node.Output.Count - 1) / node.Node.Output.Count;
        return Math.Max(0, Math.Min(chunk, length - output * chunk));
    }

    private static void Gather(NodeCut node, bool[] kept)
    {
        if (node.Cut.Labelling.Integers(node.Scope, node.Node.Input[1]) is not { } indices)
            return;
        var scalar = node.Scope.Index.Constant(node.Node.Input[1])!.Dims.Count == 0;
        long[] left = [.. indices.Select(i => i < 0 ? i + kept.Length : i).Where(i => kept[i]).Select(i => (long)Before(kept, i))];
        node.Target.SetInput(1, node.Edit.Integers(node.Address, "indices", scalar ? [] : [left.Length], left));
    }

    private static void Slice(NodeCut node, Layout input)
    {
        var changed = Enumerable.Range(0, input.Rank).Where(a => node.Cut.Kept(input, a) is not null).ToHashSet();
        if (changed.Count == 0 || SelectionRules.Ranges(node.Cut.Labelling, node.Scope, node.Node, input) is not { } ranges || !ranges.Keys.Any(changed.Contains))
            return;
        var whole = new List<(long Start, long End, long Axis, long Step)>();
        var gathers = new List<(int Axis, long[] Indices)>();
        foreach (var (axis, range) in ranges.OrderBy(r => r.Key))
        {
            if (node.Cut.Kept(input, axis) is not { } kept)
                whole.Add((range.Start, range.Step < 0 && range.End < 0 && input.Length(axis) >= 0 ? long.MinValue : range.End, axis, range.Step));
            else if (range.Step == 1)
                whole.Add((Before(kept, range.Start), Before(kept, range.End), axis, 1));
            else
                gathers.Add((axis, [.. SelectionRules.Indices(range).Where(i => kept[i]).Select(i => (long)Before(kept, i))]));
        }

        node.SetInts("starts", 1, [.. whole.Select(w => w.Start)]);
        node.SetInts("ends", 2, [.. whole.Select(w => w.End)]);
        node.SetInts("axes", 3, [.. whole.Select(w => w.Axis)]);
        if (node.Node.Ints("starts") is null)
            node.SetInts("steps", 4, [.. whole.Select(w => w.Step)]);
        // What steps over indices no longer does so evenly.
        var read = node.Node.Output[0];
        var added = new List<NodeProto>();
        foreach (var (axis, indices) in gathers)
        {
            // The value keeps its name behind the last of them: each one is put before those that came earlier.
            var between = node.Edit.Name(read);
            added.Insert(0, GraphExtensions.Node("Gather", [between, node.Edit.Vector(node.Address, "indices", indices)], [read]).Set("axis", axis));
            read = between;
        }

        foreach (var gather in added)
            node.Edit.Insert(node.Address, gather, behind: true);

        node.Target.Output[0] = read;
    }

    private static int Before(bool[] kept, long index) => kept.AsSpan(0, (int)index).Count(true);
}
