using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured.Labels;

/// <summary>Axes that were split and come together again: channel shuffles, even and odd channels.</summary>
internal static class Regather
{
    /// <summary>Makes one index of a part carry all along the other parts.</summary>
    /// <returns>A cell for each index of the part.</returns>
    public static int[] Carry(Visit visit, Block joint, int carrier)
    {
        var inner = joint.Sizes.Skip(carrier + 1).Aggregate(1, (p, s) => p * s);
        var carried = new int[joint.Sizes[carrier]];
        Array.Fill(carried, int.MinValue);
        for (var i = 0; i < joint.Cells.Length; i++)
        {
            ref var cell = ref carried[i / inner % carried.Length];
            if (cell == int.MinValue)
                cell = joint.Cells[i];
            else if (cell >= 0 && joint.Cells[i] >= 0)
                visit.Cells.Union(cell, joint.Cells[i]);
            else if (cell >= 0 || joint.Cells[i] >= 0)
                visit.Cells.Pin(Math.Max(cell, joint.Cells[i]), visit.Barrier("what goes together with it has to stay"));
        }

        return carried;
    }

    /// <summary>
    /// Puts parts that lie side by side into one. Where all parts of a split block have come together, the value can be gathered from the axis that was split;
    /// <see cref="Splits"/> ties what cannot.
    /// </summary>
    public static Layout Settle(Visit visit, string output, Layout layout)
    {
        layout = new Layout([.. layout.Axes]);
        foreach (var block in layout.Blocks)
            layout = Merge(layout, block);
        foreach (var block in layout.Blocks.Where(b => !b.IsJoint && b.Source is not null).ToList())
        {
            var source = block.Source!;
            var axis = Enumerable.Range(0, layout.Rank).First(a => layout.Axes[a].Any(t => ReferenceEquals(t.Block, block)));
            // What comes out of the gathered axis has to be written as a constant shape.
            if (layout.Axes[axis].Count == 1 && visit.Labelling.Label(visit.Scope, source.Value).Layout is { } from
                && Surgery.ShapeEntries.Of(from.With(source.Axis, layout.Axes[axis]), layout, layout.Length) is not null && Same(source.Before, layout.Axes.Take(axis)) && Same(source.After, layout.Axes.Skip(axis + 1)))
                visit.Scope.Regatherings[output] = new(source, axis);
            layout = layout.Replace(new Dictionary<Block, Block>((IEqualityComparer<Block>)ReferenceEqualityComparer.Instance) { [block] = Block.Of(block.Cells) });
        }

        return layout;
    }

    private static bool Same(IReadOnlyList<Atom> atoms, IEnumerable<IReadOnlyList<Atom>> axes) => atoms.SequenceEqual(axes.SelectMany(a => a), ReferenceEqualityComparer.Instance);

    /// <summary>Merges the parts of a block that lie on one axis side by side.</summary>
    private static Layout Merge(Layout layout, Block block)
    {
        if (!block.IsJoint)
            return layout;
        // Parts in the order in which they lie, runs of neighbours on one axis being one part from now on.
        var runs = new List<(int Axis, List<int> Parts)>();
        for (var a = 0; a < layout.Rank; a++)
        {
            Atom? previous = null;
            foreach (var atom in layout.Axes[a])
            {
                if (ReferenceEquals(atom.Block, block))
                {
                    if (previous is not null && ReferenceEquals(previous.Block, block))
                        runs[^1].Parts.Add(atom.Part);
                    else
                        runs.Add((a, [atom.Part]));
                }

                previous = atom;
            }
        }

        if (runs.TrueForAll(r => r.Parts.Count == 1))
            return layout;
        var merged = block.Permute([.. runs.SelectMany(r => r.Parts)]).Resized([.. runs.Select(r => r.Parts.Aggregate(1, (p, part) => p * block.Sizes[part]))]);
        return new Layout([.. layout.Axes.Select(axis => axis
            .Where(t => !ReferenceEquals(t.Block, block) || runs.Exists(r => r.Parts[0] == t.Part))
            .Select(t => ReferenceEquals(t.Block, block) ? Atom.Of(merged, runs.FindIndex(r => r.Parts[0] == t.Part)) : t).ToArray())]);
    }
}
