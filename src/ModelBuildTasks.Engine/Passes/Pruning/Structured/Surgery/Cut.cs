using ModelBuildTasks.Engine.Passes.Pruning.Structured.Labels;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured.Surgery;

/// <summary>Which cells go, and what is left of axes.</summary>
internal sealed class Cut
{
    private readonly HashSet<int> _gone = [];

    public Cut(ChannelAnalysis analysis, IReadOnlyDictionary<int, IReadOnlyList<int>> removed)
    {
        Labelling = analysis.Labelling;
        foreach (var (group, units) in removed)
            _gone.UnionWith(units.Select(u => analysis.Classes[group][u]));
    }

    public Labelling Labelling { get; }

    /// <summary>For each cell, whether it stays.</summary>
    public bool[] Kept(int[] cells) => [.. cells.Select(c => c < 0 || !_gone.Contains(Labelling.Cells.Find(c)))];

    /// <summary>For each index of an axis, whether it stays; null where all of them do. The axis has a known length where some go.</summary>
    public bool[]? Kept(Layout layout, int axis)
    {
        if (layout.Axes[axis].All(a => a.Block is null))
            return null;
        bool[] mask = [true];
        var some = false;
        foreach (var atom in layout.Axes[axis])
        {
            // Nothing goes along with an unknown length.
            if (atom.Size < 0)
                return null;
            var part = atom.Block is null ? [.. Enumerable.Repeat(true, (int)atom.Size)] : Parts(atom.Block)[atom.Part];
            some |= part.Contains(false);
            mask = [.. mask.SelectMany(_ => part, (outer, inner) => outer && inner)];
        }

        return some ? mask : null;
    }

    /// <summary>Length of an axis afterwards; -1 where it is not known.</summary>
    public long Length(Layout layout, int axis) => Kept(layout, axis)?.Count(k => k) ?? layout.Length(axis);

    /// <summary>Whether anything goes along any axis.</summary>
    public bool Changes(Layout? layout) => layout is not null && Enumerable.Range(0, layout.Rank).Any(a => Kept(layout, a) is not null);

    /// <summary>Whether what is left of a split axis is not whole rows along its parts.</summary>
    public bool IsRagged(Layout layout) => layout.Blocks.Where(b => b.IsJoint).Any(b => Kept(b.Cells).Count(k => k) != Parts(b).Aggregate(1, (p, part) => p * part.Count(k => k)));

    /// <summary>What would have nothing left, in words; null when all is well.</summary>
    public string? Vanishing()
    {
        foreach (var ((_, tensor), axes) in Labelling.Constants)
        {
            if (axes.Any(cells => cells is not null && !Kept(cells).Contains(true)))
                return $"of the weight '{tensor}' nothing would be left";
        }

        foreach (var scope in Labelling.Scopes)
        {
            foreach (var (name, label) in scope.Values)
            {
                if (label.Layout is { } layout && layout.Blocks.Any(b => !Kept(b.Cells).Contains(true)))
                    return $"of the value '{name}' nothing would be left";
            }
        }

        return null;
    }

    /// <summary>For each part of a block, which of its indices stay: those of which anything does.</summary>
    private List<bool[]> Parts(Block block)
    {
        var kept = Kept(block.Cells);
        if (!block.IsJoint)
            return [kept];
        var parts = block.Sizes.Select(s => new bool[s]).ToList();
        for (var i = 0; i < kept.Length; i++)
        {
            for (int p = parts.Count - 1, rest = i; kept[i] && p >= 0; rest /= parts[p--].Length)
                parts[p][rest % parts[p].Length] = true;
        }

        return parts;
    }
}
