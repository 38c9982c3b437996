using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Pruning.Structured.Labels;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured.Rules;

/// <summary>Operators that pick indices of an axis or put axes end to end: Split, Slice, Gather, Concat.</summary>
internal static class SelectionRules
{
    private const string AtRunTime = "which indices it picks is known at run time only";

    public static bool Apply(Visit visit) => visit.Node.OpType switch
    {
        "Split" => Split(visit),
        "Slice" => Slice(visit),
        "Gather" => Gather(visit),
        "Concat" => Concat(visit),
        _ => false,
    };

    /// <summary>The ranges that a Slice takes: for each axis start, end and step within the axis; null where they are computed or of an unknown axis.</summary>
    public static IReadOnlyDictionary<int, (long Start, long End, long Step)>? Ranges(Labelling labelling, Scope scope, NodeProto node, Layout input)
    {
        long[]? List(string attribute, int at) => node.Ints(attribute) ?? labelling.Integers(scope, node.InputOrEmpty(at));
        if (List("starts", 1) is not { } starts || List("ends", 2) is not { } ends || starts.Length != ends.Length)
            return null;
        var axes = List("axes", 3) ?? (node.InputOrEmpty(3).Length > 0 ? null : [.. Enumerable.Range(0, starts.Length).Select(a => (long)a)]);
        var steps = List("steps", 4) ?? (node.InputOrEmpty(4).Length > 0 ? null : [.. starts.Select(_ => 1L)]);
        if (axes is null || steps is null)
            return null;
        var ranges = new Dictionary<int, (long, long, long)>();
        for (var i = 0; i < starts.Length; i++)
        {
            var (axis, step) = (input.Axis(axes[i]), steps[i]);
            var length = axis < 0 ? -1 : input.Length(axis);
            if (axis < 0 || step == 0)
                return null;
            ranges[axis] = length < 0 ? (starts[i], ends[i], step)
                : step > 0 ? (Wrap(starts[i], length, 0, length), Wrap(ends[i], length, 0, length), step)
                : (Wrap(starts[i], length, 0, length - 1), Wrap(ends[i], length, -1, length - 1), step);
        }

        return ranges;
    }

    /// <summary>The indices of a range, see <see cref="Ranges"/>.</summary>
    public static IReadOnlyList<int> Indices((long Start, long End, long Step) range)
    {
        var indices = new List<int>();
        for (var i = range.Start; range.Step > 0 ? i < range.End : i > range.End; i += range.Step)
            indices.Add((int)i);
        return indices;
    }

    /// <summary>Some indices of an axis of known length.</summary>
    /// <param name="visit">The node.</param>
    /// <param name="layout">The value that is read.</param>
    /// <param name="axis">The axis.</param>
    /// <param name="indices">The indices; some may come several times.</param>
    public static Layout Take(Visit visit, Layout layout, int axis, IReadOnlyList<int> indices)
    {
        var atoms = layout.Axes[axis];
        if (atoms.All(a => a.Block is null))
            return layout.With(axis, indices.Count == 1 ? [] : [Atom.Opaque(indices.Count)]);
        if (atoms.Count > 1)
        {
            layout = visit.Separate(layout, a => a == axis ? 1 : 0);
            if (visit.CellsOf(layout, axis) is not { } all)
                return layout.With(axis, indices.Count == 1 ? [] : [Atom.Opaque(indices.Count)]);
            layout = layout.With(axis, Atom.Of(Block.Of(all)));
        }

        if (layout.Axes[axis] is not [{ Block: { } block, Part: var part }])
            return layout.With(axis, indices.Count == 1 ? [] : [Atom.Opaque(indices.Count)]);
        if (indices.Count == 0 || (indices.Count == 1 && !block.IsJoint))
        {
            visit.Pin(indices.Select(i => block.Cells[i]), visit.Barrier("it is picked alone, and nothing would be left"));
            return layout.With(axis, indices.Count == 0 ? [Atom.Opaque(0)] : []);
        }

        var single = indices.Count == 1;
        var taken = block.Take(part, indices, single);
        return new Layout([.. layout.Axes.Select((list, a) => a == axis && single ? [] : list
            .Select(t => ReferenceEquals(t.Block, block) ? Atom.Of(taken, single && t.Part > part ? t.Part - 1 : t.Part) : t).ToArray())]);
    }

    private static bool Split(Visit visit)
    {
        var node = visit.Node;
        var input = visit.Layout(0);
        var axis = input.Axis(node.Int("axis"));
        var sizes = visit.Ints("split", 1);
        if (axis < 0 || (sizes is null && visit.Has(1)))
            return false;
        var length = input.Length(axis);
        if (sizes is null && length >= 0)
        {
            // Chunks of equal size, the last one smaller where it does not come out even.
            var chunk = (length + node.Output.Count - 1) / node.Output.Count;
            sizes = [.. Enumerable.Range(0, node.Output.Count).Select(i => Math.Max(0, Math.Min(chunk, length - i * chunk)))];
        }

        var start = 0;
        for (var i = 0; i < node.Output.Count; i++)
        {
            var size = sizes is null ? -1 : (int)sizes[i];
            visit.SetMoved(i, size < 0 ? input.With(axis, Atom.Opaque(-1)) : Take(visit, input, axis, [.. Enumerable.Range(start, size)]), visit.IsZero(0));
            start += size;
        }

        return true;
    }

    private static bool Slice(Visit visit)
    {
        var layout = visit.Layout(0);
        if (Ranges(visit.Labelling, visit.Scope, visit.Node, layout) is not { } ranges)
        {
            Unknown(visit);
            return true;
        }

        var inferred = visit.Labelling.Shape(visit.Node.Output[0]);
        foreach (var (axis, range) in ranges)
        {
            if (layout.Length(axis) >= 0)
            {
                var indices = Indices(range);
                if (indices.Count != layout.Length(axis) || range.Step < 0)
                    layout = Take(visit, layout, axis, indices);
            }
            else if (range is not (0, > int.MaxValue, 1))
            {
                visit.Pin(layout, axis, "an axis of unknown length that could shrink is cut");
                layout = layout.With(axis, inferred?[axis] == 1 ? [] : [Atom.Opaque(inferred?[axis] ?? -1)]);
            }
        }

        visit.SetMoved(0, layout, visit.IsZero(0));
        return true;
    }

    /// <summary>Of a Slice whose ranges are computed, at least the axes may be known.</summary>
    private static void Unknown(Visit visit)
    {
        var axes = visit.Ints("axes", 3);
        var layout = visit.Simple(0, a => axes?.Any(x => x == a) == true ? 0 : 1);
        var shape = visit.Labelling.Shape(visit.Node.Output[0]);
        foreach (var axis in axes?.Select(layout.Axis) ?? Enumerable.Range(0, layout.Rank))
        {
            visit.Pin(layout, axis, AtRunTime);
            var length = shape?.Length == layout.Rank ? shape[axis] : -1;
            layout = layout.With(axis, length == 1 ? [] : [Atom.Opaque(length)]);
        }

        visit.SetMoved(0, layout, visit.IsZero(0));
    }

    private static bool Gather(Visit visit)
    {
        var data = visit.Layout(0);
        var axis = data.Axis(visit.Node.Int("axis"));
        if (axis < 0)
            return false;
        var indices = visit.Scope.Index.Constant(visit.Node.Input[1]) is { Dims.Count: <= 1 } ? visit.Labelling.Integers(visit.Scope, visit.Node.Input[1]) : null;
        if (indices is not null && data.Length(axis) is >= 0 and var length)
        {
            var scalar = visit.Scope.Index.Constant(visit.Node.Input[1])!.Dims.Count == 0;
            if (indices.Any(i => i < -length || i >= length))
                return false;
            var taken = Take(visit, data, axis, [.. indices.Select(i => (int)(i < 0 ? i + length : i))]);
            visit.SetMoved(0, scalar ? new Layout([.. taken.Axes.Where((_, a) => a != axis)]) : taken, visit.IsZero(0));
            return true;
        }

        // A table: what is picked from stays, the other axes pass.
        var table = visit.Simple(0, a => a == axis ? 0 : 1);
        visit.Pin(table, axis, AtRunTime);
        var picked = visit.Simple(1);
        visit.PinAll(picked, visit.Barrier("it is an index"));
        for (var other = 0; other < table.Rank; other++)
        {
            if (other == axis || !table.Axes[other].Any(t => t.Block?.Origin is not null))
                continue;
            visit.Role(table, other, SliceRole.Producer);
            visit.Labelling.Producers.Add(new(visit.Address, 0, visit.CellsOf(table, other)!));
        }

        var places = picked.Axes.Select(atoms => (IReadOnlyList<Atom>)[.. atoms.Select(t => t.Block is null ? t : Atom.Opaque(t.Size))]);
        visit.Set(0, new Layout([.. table.Axes.Take(axis), .. places, .. table.Axes.Skip(axis + 1)]), visit.IsZero(0));
        return true;
    }

    private static bool Concat(Visit visit)
    {
        var inputs = Enumerable.Range(0, visit.Node.Input.Count).ToList();
        var rank = visit.Layout(0).Rank;
        var axis = visit.Layout(0).Axis(visit.Node.Int("axis", 1));
        if (axis < 0 || inputs.Any(i => visit.Layout(i).Rank != rank))
            return false;
        // Split axes beside the one that is put end to end may stay split.
        var layouts = inputs.Select(visit.Layout).Select(l => l.Axes[axis].Any(t => t.Block is { IsJoint: true }) ? visit.Separate(l, a => a == axis ? 0 : 1) : l).ToList();
        var others = ElementwiseRules.Broadcast(visit, [.. layouts.Select(l => l.With(axis))]);
        var parts = layouts.Select(l => (Cells: visit.CellsOf(l, axis), Length: l.Length(axis))).ToList();
        var atoms = Array.Empty<Atom>();
        if (parts.Exists(p => p.Length < 0) || parts.TrueForAll(p => p.Cells is null))
        {
            foreach (var layout in layouts)
                visit.Pin(layout, axis, "it is put beside something of unknown length");
            var length = parts.Exists(p => p.Length < 0) ? -1 : parts.Sum(p => p.Length);
            atoms = length == 1 ? [] : [Atom.Opaque(length)];
        }
        else
        {
            atoms = [Atom.Of(Block.Of([.. parts.SelectMany(p => p.Cells ?? Enumerable.Repeat(ChannelCells.Fixed, (int)p.Length))]))];
        }

        visit.Set(0, others.With(axis, atoms), inputs.TrueForAll(i => visit.IsZero(i) && layouts[i].Blocks.Count > 0));
        return true;
    }

    private static long Wrap(long at, long length, long least, long most) => Math.Clamp(at < 0 ? at + length : at, least, most);
}
