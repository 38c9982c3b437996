using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Pruning.Structured.Labels;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured.Rules;

/// <summary>Pooling, resizing, padding, and what moves channels into space.</summary>
internal static class SpatialRules
{
    public static bool Apply(Visit visit)
    {
        switch (visit.Node.OpType)
        {
            case "MaxPool" or "AveragePool" or "LpPool" or "GlobalMaxPool" or "GlobalAveragePool" or "GlobalLpPool" when visit.Node.Output.Skip(1).All(o => o.Length == 0):
                Pool(visit);
                return true;
            case "Resize" or "Upsample":
                return Resize(visit);
            case "Pad":
                return Pad(visit);
            case "DepthToSpace" or "SpaceToDepth":
                return Depth(visit);
            default:
                return false;
        }
    }

    /// <summary>For each axis, how many elements a Pad puts before and behind it; null where that is computed.</summary>
    public static (long[] Before, long[] After)? Pads(Labelling labelling, Scope scope, NodeProto node, int rank)
    {
        if ((node.Ints("pads") ?? labelling.Integers(scope, node.InputOrEmpty(1))) is not { } pads)
            return null;
        var axes = node.InputOrEmpty(3).Length == 0 ? [.. Enumerable.Range(0, rank).Select(a => (long)a)] : labelling.Integers(scope, node.InputOrEmpty(3));
        if (axes is null || pads.Length != 2 * axes.Length)
            return null;
        var (before, after) = (new long[rank], new long[rank]);
        for (var i = 0; i < axes.Length; i++)
        {
            var axis = (int)(axes[i] < 0 ? axes[i] + rank : axes[i]);
            (before[axis], after[axis]) = (pads[i], pads[i + axes.Length]);
        }

        return (before, after);
    }

    private static void Pool(Visit visit)
    {
        var input = visit.Simple(0, a => a == 1 ? 1 : 0);
        for (var axis = 2; axis < input.Rank; axis++)
            visit.Pin(input, axis, "a window moves along it");
        visit.Set(0, Resized(visit, input), visit.IsZero(0));
    }

    /// <summary>Other lengths of the spatial axes.</summary>
    private static Layout Resized(Visit visit, Layout input)
    {
        var shape = visit.Labelling.Shape(visit.Node.Output[0]);
        var spatial = Layout.Opaque(Enumerable.Range(2, Math.Max(0, input.Rank - 2)).Select(a => shape?.Length == input.Rank ? shape[a] : -1));
        return new Layout([.. input.Axes.Take(2), .. spatial.Axes]);
    }

    private static bool Resize(Visit visit)
    {
        // Scales and sizes name all axes unless 'axes' picks some.
        var node = visit.Node;
        var input = visit.Simple(0, a => a == 1 ? 1 : 0);
        var named = node.Ints("axes")?.Select(input.Axis).ToHashSet() ?? [.. Enumerable.Range(0, input.Rank)];
        var sizes = visit.Has(3) ? visit.Labelling.Vector(visit.Scope, node.Input[3]) : null;
        var scales = node.OpType == "Upsample" || !visit.Has(3)
            ? visit.Scope.Index.Constant(node.InputOrEmpty(node.OpType == "Upsample" ? 1 : 2)) is { HasPayloadRef: true } tensor ? visit.Labelling.Model.ReadFloats(tensor) : node.Attribute("scales")?.Floats.ToArray()
            : null;
        var inferred = visit.Labelling.Shape(node.Output[0]);
        var position = 0;
        var axes = new List<IReadOnlyList<Atom>>();
        for (var axis = 0; axis < input.Rank; axis++)
        {
            var at = named.Contains(axis) ? position++ : -1;
            var same = at < 0 || (scales is not null && at < scales.Length && scales[at] == 1)
                || (sizes is not null && at < sizes.Length && (sizes[at].Value == input.Length(axis) || (sizes[at].Atoms is { } atoms && atoms.SequenceEqual(input.Axes[axis], ReferenceEqualityComparer.Instance))));
            if (!same)
                visit.Pin(input, axis, "it is resized");
            // What a cubic filter or a window makes of space keeps channels apart, but only constant sizes can be written anew.
            if (same && at >= 0 && sizes is not null && visit.Scope.Index.Constant(node.Input[3]) is null && input.Axes[axis].Any(t => t.Block is not null) && sizes[at].Value is not null)
                visit.Pin(input, axis, "its size is computed");
            var length = inferred?.Length == input.Rank ? inferred[axis] : -1;
            axes.Add(same ? input.Axes[axis] : length == 1 ? [] : [Atom.Opaque(length)]);
        }

        visit.Set(0, new Layout(axes), visit.IsZero(0));
        return true;
    }

    private static bool Pad(Visit visit)
    {
        var input = visit.Simple(0, a => a == 1 ? 1 : 0);
        if (Pads(visit.Labelling, visit.Scope, visit.Node, input.Rank) is not { } pads)
            return false;
        var inferred = visit.Labelling.Shape(visit.Node.Output[0]);
        var axes = new List<IReadOnlyList<Atom>>();
        var constant = visit.Node.String("mode", "constant") == "constant";
        for (var axis = 0; axis < input.Rank; axis++)
        {
            if (pads.Before[axis] == 0 && pads.After[axis] == 0)
            {
                axes.Add(input.Axes[axis]);
                continue;
            }

            if (constant && pads.Before[axis] >= 0 && pads.After[axis] >= 0 && visit.CellsOf(input, axis) is { } cells)
            {
                // What is added stays.
                axes.Add([Atom.Of(Block.Of([.. Enumerable.Repeat(ChannelCells.Fixed, (int)pads.Before[axis]), .. cells, .. Enumerable.Repeat(ChannelCells.Fixed, (int)pads.After[axis])]))]);
                continue;
            }

            visit.Pin(input, axis, "it is padded with its own elements, or cropped");
            var length = input.Length(axis) < 0 ? inferred?.Length == input.Rank ? inferred[axis] : -1 : input.Length(axis) + pads.Before[axis] + pads.After[axis];
            axes.Add(length == 1 ? [] : [Atom.Opaque(length)]);
        }

        var zero = !constant || !visit.Has(2) || (visit.Scope.Index.Constant(visit.Node.Input[2]) is { HasPayloadRef: true } value && visit.Labelling.Model.ReadBytes(value).All(b => b == 0));
        visit.Set(0, new Layout(axes), zero && visit.IsZero(0));
        return true;
    }

    private static bool Depth(Visit visit)
    {
        var node = visit.Node;
        var input = visit.Simple(0, a => a == 1 ? 1 : 0);
        if (input.Rank != 4)
            return false;
        for (var axis = 2; axis < 4; axis++)
            visit.Pin(input, axis, "channels are moved into it");
        var square = (int)(node.Int("blocksize") * node.Int("blocksize"));
        var output = visit.Labelling.Shape(node.Output[0]);
        IReadOnlyList<Atom> atoms = [];
        if (visit.CellsOf(input, 1) is { } cells)
        {
            var toSpace = node.OpType == "DepthToSpace";
            var depth = toSpace ? cells.Length / square : cells.Length;
            if (toSpace)
            {
                // DCR: block by block all channels; CRD: channel by channel its block.
                var columns = node.String("mode", "DCR") == "CRD";
                for (var i = 0; i < cells.Length; i++)
                    visit.Union([cells[i]], [cells[columns ? i / square * square : i % depth]], "");
                cells = columns ? [.. Enumerable.Range(0, depth).Select(c => cells[c * square])] : cells[..depth];
                if (depth == 1)
                    visit.Pin(cells, visit.Barrier("it is the only channel"));
            }
            else
            {
                cells = [.. Enumerable.Range(0, square).SelectMany(_ => cells)];
            }

            atoms = cells.Length == 1 ? [] : [Atom.Of(Block.Of(cells))];
        }
        else if (output is { Length: 4 } && output[1] != 1)
        {
            atoms = [Atom.Opaque(output[1])];
        }

        visit.Set(0, new Layout([input.Axes[0], atoms, .. Layout.Opaque([output?.Length == 4 ? output[2] : -1, output?.Length == 4 ? output[3] : -1]).Axes]), visit.IsZero(0));
        return true;
    }
}
