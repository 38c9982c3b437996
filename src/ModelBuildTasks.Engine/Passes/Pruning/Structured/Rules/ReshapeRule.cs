using ModelBuildTasks.Engine.Passes.Pruning.Structured.Labels;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured.Rules;

/// <summary>
/// Reshape: atoms of the input are dealt out to the axes of the output, from both ends. Elements keep their order, so a run of lengths that multiply to the
/// same says which atoms, or parts of them, make an axis.
/// </summary>
internal static class ReshapeRule
{
    /// <summary>The output's axes.</summary>
    /// <param name="visit">The node; input 0 is what is reshaped.</param>
    /// <param name="input">Its axes.</param>
    /// <param name="dims">Lengths of the output, -1 where unknown.</param>
    /// <param name="hints">Atoms of axes of unknown length, where it is known which they are.</param>
    public static Layout Apply(Visit visit, Layout input, long[] dims, IReadOnlyList<Atom>?[] hints)
    {
        var atoms = new Deal(input.Axes.SelectMany(a => a));
        var axes = new IReadOnlyList<Atom>?[dims.Length];
        var (first, last) = (0, dims.Length - 1);
        while (first <= last && atoms.Take(dims[first], hints[first], front: true) is { } taken)
            axes[first++] = taken;
        while (last >= first && atoms.Take(dims[last], hints[last], front: false) is { } taken)
            axes[last--] = taken;
        if (first == last)
        {
            axes[first] = [.. atoms.Rest];
        }
        else if (first < last || atoms.Rest.Any(a => a.Block is not null))
        {
            visit.Pin(atoms.Rest.Select(a => a.Block).OfType<Block>().SelectMany(b => b.Cells), visit.Barrier("it is not known without a run how lengths of its input become lengths of its output"));
            for (; first <= last; first++)
                axes[first] = dims[first] == 1 ? [] : [Atom.Opaque(dims[first])];
        }

        return Resolve(visit, input, axes!);
    }

    /// <summary>Gives blocks that were split their parts, and remembers where they come from.</summary>
    private static Layout Resolve(Visit visit, Layout input, IReadOnlyList<Atom>[] axes)
    {
        var pieces = axes.SelectMany(a => a).OfType<Atom>().Where(a => a.Block is not null).ToList();
        var replaced = new Dictionary<Atom, Atom>((IEqualityComparer<Atom>)ReferenceEqualityComparer.Instance);
        foreach (var group in Deal.Pieces(pieces))
        {
            var (block, parts) = group;
            if (parts.Aggregate(1L, (p, a) => p * a.Size) != block.Cells.Length)
            {
                // The rest was pinned above.
                foreach (var part in parts)
                    replaced[part] = Atom.Opaque(part.Size);
                continue;
            }

            var whole = new Block([.. parts.Select(p => (int)p.Size)], block.Cells)
            {
                Origin = block.Origin,
                Source = block.Source ?? (block.IsJoint ? null : SourceOf(visit, input, block)),
            };
            for (var i = 0; i < parts.Count; i++)
                replaced[parts[i]] = Atom.Of(whole, i);
        }

        return new Layout([.. axes.Select(axis => axis.Select(a => replaced.GetValueOrDefault(a, a)).ToArray())]);
    }

    private static BlockSource? SourceOf(Visit visit, Layout input, Block block)
    {
        var axis = Enumerable.Range(0, input.Rank).First(a => input.Axes[a].Any(t => ReferenceEquals(t.Block, block)));
        return input.Axes[axis].Count > 1 || block.Origin is not null ? null
            : new(visit.Node.Input[0], axis, [.. input.Axes.Take(axis).SelectMany(a => a)], [.. input.Axes.Skip(axis + 1).SelectMany(a => a)], [.. Enumerable.Range(0, block.Cells.Length)]);
    }
}
