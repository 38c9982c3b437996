namespace ModelBuildTasks.Engine.Passes.Pruning.Structured.Labels;

/// <summary>Where a constant is defined, and one of its axes.</summary>
internal readonly record struct ConstantAxis(int Graph, string Tensor, int Axis);

/// <summary>
/// Cells of one axis as it once was. Reshape splits an axis into parts that may come to lie on different axes; a cell is then found by its index on each
/// of them. Blocks of one part are the rule: the cells of an axis, or of one factor of it.
/// </summary>
/// <param name="sizes">Lengths of the parts, major first.</param>
/// <param name="cells">The cells, row-major over the parts.</param>
internal sealed class Block(int[] sizes, int[] cells)
{
    public int[] Sizes { get; } = sizes;

    public int[] Cells { get; } = cells;

    /// <summary>The constant whose axis it is, as long as it was only moved; null for computed values.</summary>
    public ConstantAxis? Origin { get; init; }

    /// <summary>Where the parts come from, for blocks that were split and since then only moved; null otherwise.</summary>
    public BlockSource? Source { get; init; }

    public bool IsJoint => Sizes.Length > 1;

    /// <summary>A block of one part.</summary>
    public static Block Of(int[] cells) => new([cells.Length], cells);

    /// <summary>The same cells as an operator's result: no constant any more, and not only moved.</summary>
    public Block Computed() => Origin is null && Source is null ? this : new(Sizes, Cells);

    /// <summary>Some indices of one part. A part of a single index is no part any more where <paramref name="drop"/> says so.</summary>
    public Block Take(int part, IReadOnlyList<int> indices, bool drop)
    {
        var inner = Sizes.Skip(part + 1).Aggregate(1, (p, s) => p * s);
        var outer = Sizes.Take(part).Aggregate(1, (p, s) => p * s);
        var from = new int[outer * indices.Count * inner];
        var at = 0;
        for (var o = 0; o < outer; o++)
        {
            foreach (var index in indices)
            {
                for (var i = 0; i < inner; i++)
                    from[at++] = (o * Sizes[part] + index) * inner + i;
            }
        }

        int[] sizes = [.. Sizes.Select((s, p) => p == part ? indices.Count : s).Where((_, p) => p != part || !drop)];
        return Pick(sizes, from);
    }

    /// <summary>The parts in another order.</summary>
    public Block Permute(IReadOnlyList<int> order)
    {
        int[] sizes = [.. order.Select(p => Sizes[p])];
        var strides = new int[Sizes.Length];
        for (int p = Sizes.Length - 1, stride = 1; p >= 0; stride *= Sizes[p--])
            strides[p] = stride;
        var from = new int[Cells.Length];
        for (var i = 0; i < from.Length; i++)
        {
            var (rest, index) = (i, 0);
            for (var p = order.Count - 1; p >= 0; p--)
            {
                index += rest % sizes[p] * strides[order[p]];
                rest /= sizes[p];
            }

            from[i] = index;
        }

        return Pick(sizes, from);
    }

    /// <summary>The same cells with other parts.</summary>
    public Block Resized(int[] sizes) => new(sizes, Cells) { Origin = Origin, Source = Source };

    private Block Pick(int[] sizes, int[] from) => new(sizes, [.. from.Select(i => Cells[i])])
    {
        Origin = Origin,
        Source = Source is null ? null : Source with { Positions = [.. from.Select(i => Source.Positions[i])] },
    };
}

/// <summary>The axis that a split block is made of.</summary>
/// <param name="Value">The value whose axis it is.</param>
/// <param name="Axis">The axis.</param>
/// <param name="Before">What that value has before the axis, major first.</param>
/// <param name="After">What it has behind it.</param>
/// <param name="Positions">For each cell of the block, the index on the axis.</param>
internal sealed record BlockSource(string Value, int Axis, IReadOnlyList<Atom> Before, IReadOnlyList<Atom> After, int[] Positions);
