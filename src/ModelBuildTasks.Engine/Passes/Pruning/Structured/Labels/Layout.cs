namespace ModelBuildTasks.Engine.Passes.Pruning.Structured.Labels;

/// <summary>A factor of an axis: a part of a block, or an opaque length, whose identity says that two axes have the same.</summary>
internal sealed class Atom
{
    private Atom(long size, Block? block, int part) => (Size, Block, Part) = (size, block, part);

    /// <summary>Length; -1 where it is not known.</summary>
    public long Size { get; }

    /// <summary>The block that it is a part of; null where nothing can be removed.</summary>
    public Block? Block { get; }

    /// <summary>Which part.</summary>
    public int Part { get; }

    public static Atom Opaque(long size) => new(size, null, 0);

    /// <summary>A factor of this one. Those of a block get their own parts later: until then they are told apart by their order.</summary>
    public Atom Piece(long size) => new(size, Block, Part);

    public static Atom Of(Block block, int part = 0) => new(block.Sizes[part], block, part);
}

/// <summary>The axes of a value, each a product of atoms, major first. An axis of length 1 has none.</summary>
internal sealed class Layout(IReadOnlyList<IReadOnlyList<Atom>> axes)
{
    public IReadOnlyList<IReadOnlyList<Atom>> Axes { get; } = axes;

    public int Rank => Axes.Count;

    /// <summary>Axes of these lengths along which nothing can be removed; -1 for an unknown length.</summary>
    public static Layout Opaque(IEnumerable<long> dims) => new([.. dims.Select(d => d == 1 ? Array.Empty<Atom>() : [Atom.Opaque(d)])]);

    /// <summary>All blocks, each once.</summary>
    public IReadOnlyList<Block> Blocks => [.. Axes.SelectMany(a => a).Select(a => a.Block).OfType<Block>().Distinct(ReferenceEqualityComparer.Instance).Cast<Block>()];

    /// <summary>Whether a block has parts on several axes.</summary>
    public bool IsJoint => Axes.Any(axis => axis.Any(a => a.Block is { IsJoint: true }));

    /// <summary>Length of an axis; -1 where it is not known.</summary>
    public long Length(int axis) => Length(Axes[axis]);

    /// <summary>Length of a product of atoms; -1 where it is not known.</summary>
    public static long Length(IEnumerable<Atom> atoms)
    {
        long length = 1;
        foreach (var atom in atoms)
            length = atom.Size < 0 || length < 0 ? -1 : length * atom.Size;
        return length;
    }

    /// <summary>The axis counted from the front; -1 when it is none of this layout.</summary>
    public int Axis(long axis) => axis < -Rank || axis >= Rank ? -1 : (int)(axis < 0 ? axis + Rank : axis);

    /// <summary>The same with one axis changed.</summary>
    public Layout With(int axis, params IReadOnlyList<Atom> atoms) => new([.. Axes.Select((a, i) => i == axis ? atoms : a)]);

    /// <summary>The same as an operator's result, see <see cref="Block.Computed"/>.</summary>
    public Layout Computed()
    {
        var blocks = Blocks.ToDictionary(b => b, b => b.Computed(), (IEqualityComparer<Block>)ReferenceEqualityComparer.Instance);
        return Replace(blocks);
    }

    /// <summary>The same with other blocks of the same parts.</summary>
    public Layout Replace(IReadOnlyDictionary<Block, Block> blocks) =>
        new([.. Axes.Select(axis => axis.Select(a => a.Block is not null && blocks.TryGetValue(a.Block, out var other) && !ReferenceEquals(other, a.Block) ? Atom.Of(other, a.Part) : a).ToArray())]);

    /// <summary>
    /// The cells of the indices of an axis that has at most one block, of one part; null where nothing can be removed along it or a length is unknown.
    /// </summary>
    public int[]? Cells(int axis)
    {
        var atoms = Axes[axis];
        var length = Length(axis);
        var at = -1;
        for (var i = 0; i < atoms.Count; i++)
            at = atoms[i].Block is null ? at : i;
        if (at < 0 || length < 0)
            return null;
        var inner = (int)Length(atoms.Skip(at + 1));
        var cells = atoms[at].Block!.Cells;
        var result = new int[length];
        for (var i = 0; i < result.Length; i++)
            result[i] = cells[i / inner % cells.Length];
        return result;
    }
}
