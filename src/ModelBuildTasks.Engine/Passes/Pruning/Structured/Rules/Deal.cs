using ModelBuildTasks.Engine.Passes.Pruning.Structured.Labels;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured.Rules;

/// <summary>A row of atoms from whose ends axes of given lengths are taken. Atoms that are too long are split.</summary>
internal sealed class Deal(IEnumerable<Atom> atoms)
{
    private readonly LinkedList<Atom> _rest = new(atoms);

    /// <summary>What was not taken.</summary>
    public IEnumerable<Atom> Rest => _rest;

    /// <summary>Takes the atoms of one axis; null, and nothing is taken, where they do not come out even.</summary>
    public IReadOnlyList<Atom>? Take(long length, IReadOnlyList<Atom>? hint, bool front)
    {
        if (length < 0)
            return hint is null ? null : TakeAll(hint, front);
        var taken = new List<Atom>();
        var need = length;
        var left = new LinkedList<Atom>(_rest);
        while (need > 1)
        {
            var atom = (front ? left.First : left.Last)?.Value;
            if (atom is null || atom.Size < 0)
                return null;
            Remove(left, front);
            if (need % atom.Size == 0)
            {
                Add(taken, atom, front);
                need /= atom.Size;
            }
            else if (atom.Size % need == 0)
            {
                var (major, minor) = front ? Split(atom, need) : Split(atom, atom.Size / need);
                Add(taken, front ? major : minor, front);
                Put(left, front ? minor : major, front);
                need = 1;
            }
            else
            {
                return null;
            }
        }

        if (length == 0)
            return null;
        _rest.Clear();
        foreach (var atom in left)
            _rest.AddLast(atom);
        return taken;
    }

    /// <summary>
    /// Blocks of which parts were split, with all their parts in the order of the block. Pieces carry the block that they were split from and the number
    /// of the part; the order in which they lie here is that of the elements.
    /// </summary>
    public static IEnumerable<(Block Block, IReadOnlyList<Atom> Parts)> Pieces(IReadOnlyList<Atom> pieces) =>
        from atom in pieces
        group atom by (object)atom.Block! into blocks
        let block = (Block)blocks.Key
        let parts = blocks.GroupBy(a => a.Part).OrderBy(p => p.Key).SelectMany(p => p).ToList()
        where parts.Count != block.Sizes.Length
        select (block, (IReadOnlyList<Atom>)parts);

    private IReadOnlyList<Atom>? TakeAll(IReadOnlyList<Atom> hint, bool front)
    {
        if (hint.Count > _rest.Count || !(front ? _rest.Take(hint.Count) : _rest.Skip(_rest.Count - hint.Count)).SequenceEqual(hint, ReferenceEqualityComparer.Instance))
            return null;
        for (var i = 0; i < hint.Count; i++)
            Remove(_rest, front);
        return hint;
    }

    private static (Atom Major, Atom Minor) Split(Atom atom, long major) => (atom.Piece(major), atom.Piece(atom.Size / major));

    private static void Remove(LinkedList<Atom> list, bool front)
    {
        if (front)
            list.RemoveFirst();
        else
            list.RemoveLast();
    }

    private static void Put(LinkedList<Atom> list, Atom atom, bool front)
    {
        if (front)
            list.AddFirst(atom);
        else
            list.AddLast(atom);
    }

    private static void Add(List<Atom> list, Atom atom, bool front)
    {
        if (front)
            list.Add(atom);
        else
            list.Insert(0, atom);
    }
}
