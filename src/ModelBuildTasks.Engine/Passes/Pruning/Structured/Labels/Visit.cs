using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Quantization.Search;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured.Labels;

/// <summary>One node while it is labelled: its inputs, and what rules do to cells.</summary>
internal sealed class Visit(Labelling labelling, Scope scope, NodeProto? node)
{
    public Labelling Labelling => labelling;

    public Scope Scope => scope;

    public NodeProto Node => node!;

    public NodeAddress Address { get; init; }

    public ChannelCells Cells => labelling.Cells;

    public bool Has(int input) => Node.InputOrEmpty(input).Length > 0;

    public ValueLabel Label(int input) => labelling.Label(scope, Node.Input[input]);

    /// <summary>The axes of an input.</summary>
    /// <exception cref="UnknownRankException">Its rank is not known.</exception>
    public Layout Layout(int input) => Label(input).Layout ?? throw new UnknownRankException();

    /// <summary>The axes of an input, none of which shares a block with another.</summary>
    /// <param name="input">Index of the input.</param>
    /// <param name="preference">For each axis, how much its parts are wanted as units; the largest part where that does not decide.</param>
    public Layout Simple(int input, Func<int, int>? preference = null) => Separate(Layout(input), preference);

    /// <summary>The same where the operator itself says how many axes there are.</summary>
    public Layout Simple(int input, int rank, Func<int, int> preference) =>
        Label(input).Layout is null ? Labels.Layout.Opaque(Enumerable.Repeat(-1L, rank)) : Simple(input, preference);

    public bool IsZero(int input) => Label(input).IsZero;

    public void Set(int output, Layout? layout, bool isZero = false)
    {
        if (output < Node.Output.Count && Node.Output[output].Length > 0)
            scope.Values[Node.Output[output]] = new(layout?.Computed(), isZero && layout is not null);
    }

    /// <summary>Sets an output that is moved, not computed: it stays a constant's where it was, and a split axis can be put together again.</summary>
    public void SetMoved(int output, Layout layout, bool isZero)
    {
        if (output < Node.Output.Count && Node.Output[output].Length > 0)
            scope.Values[Node.Output[output]] = new(Regather.Settle(this, Node.Output[output], layout), isZero);
    }

    /// <summary>An integer list: an attribute, or since a later version of the operator an input. Null where it is absent or computed.</summary>
    public long[]? Ints(string attribute, int input) => Node.Ints(attribute) ?? labelling.Integers(scope, Node.InputOrEmpty(input));

    public int Barrier(string reason) => labelling.Barrier(Node.DisplayName(), Node.OpType, reason);

    /// <summary>Nothing along any axis can be removed.</summary>
    public void PinAll(Layout? layout, int barrier)
    {
        foreach (var block in layout?.Blocks ?? [])
            Pin(block.Cells, barrier);
    }

    /// <summary>Nothing along an axis can be removed.</summary>
    public void Pin(Layout layout, int axis, string reason)
    {
        foreach (var block in layout.Axes[axis].Select(a => a.Block).OfType<Block>())
            Pin(block.Cells, Barrier(reason));
    }

    public void Pin(IEnumerable<int> cells, int barrier)
    {
        foreach (var cell in cells)
            Cells.Pin(cell, barrier);
    }

    /// <summary>Pairs go together; what pairs with a cell that stays, stays.</summary>
    public void Union(int[] first, int[] second, string reason)
    {
        for (var i = 0; i < first.Length; i++)
        {
            if (first[i] >= 0 && second[i] >= 0)
                Cells.Union(first[i], second[i]);
            else if (first[i] >= 0 || second[i] >= 0)
                Cells.Pin(Math.Max(first[i], second[i]), Barrier(reason));
        }
    }

    /// <summary>The cells of an axis on which there is nothing or one single block; the lesser of two blocks is pinned.</summary>
    public int[]? CellsOf(Layout layout, int axis)
    {
        var blocks = layout.Axes[axis].Select(a => a.Block).OfType<Block>().OrderByDescending(b => b.Cells.Length).ToList();
        if (blocks.Count == 0)
            return null;
        if (blocks.Count > 1 || layout.Length(axis) < 0)
        {
            foreach (var other in blocks.Skip(layout.Length(axis) < 0 ? 0 : 1))
                Pin(other.Cells, Barrier("two axes that could shrink, or one and one of unknown length, are merged here"));
            var keep = layout.Length(axis) < 0 ? null : blocks[0];
            layout = layout.With(axis, [.. layout.Axes[axis].Select(a => a.Block is null || ReferenceEquals(a.Block, keep) ? a : Atom.Opaque(a.Size))]);
        }

        return layout.Cells(axis);
    }

    /// <summary>Two axes have the same indices: their cells go together.</summary>
    public void Tie(Layout first, int axis, Layout second, int other, string reason)
    {
        var (a, b) = (CellsOf(first, axis), CellsOf(second, other));
        if (a is not null && b is not null && a.Length == b.Length)
            Union(a, b, reason);
        else
            Pin([.. a ?? [], .. b ?? []], a is null && b is null ? 0 : Barrier(reason));
    }

    /// <summary>Says what a constant does for the cells of one of its axes.</summary>
    public void Role(Layout layout, int axis, SliceRole role)
    {
        foreach (var block in layout.Axes[axis].Select(a => a.Block).OfType<Block>())
        {
            // A table that is read on both sides is above all read.
            if (block.Origin is { } origin && (!labelling.Roles.TryGetValue(origin, out var known) || (role == SliceRole.Consumer && known == SliceRole.Producer)))
                labelling.Roles[origin] = role;
        }
    }

    /// <summary>The layout without joint blocks: of each, the indices along one part go together with all along the others.</summary>
    public Layout Separate(Layout layout, Func<int, int>? preference = null)
    {
        while (layout.Blocks.FirstOrDefault(b => b.IsJoint) is { } joint)
        {
            var axes = Enumerable.Range(0, joint.Sizes.Length)
                .ToDictionary(p => p, p => Enumerable.Range(0, layout.Rank).First(a => layout.Axes[a].Any(t => ReferenceEquals(t.Block, joint) && t.Part == p)));
            var carrier = axes.Keys.OrderByDescending(p => preference?.Invoke(axes[p]) ?? 0).ThenByDescending(p => joint.Sizes[p]).ThenBy(p => p).First();
            var whole = Block.Of(Regather.Carry(this, joint, carrier));
            layout = new Layout([.. layout.Axes.Select(axis => axis
                .Select(a => !ReferenceEquals(a.Block, joint) ? a : a.Part == carrier ? Atom.Of(whole) : Atom.Opaque(a.Size)).ToArray())]);
        }

        return layout;
    }
}

/// <summary>A rule needs an axis of a value whose rank is not known.</summary>
internal sealed class UnknownRankException : Exception;
