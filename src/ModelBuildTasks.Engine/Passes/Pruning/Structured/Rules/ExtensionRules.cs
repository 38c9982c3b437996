using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Pruning.Structured.Labels;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured.Rules;

/// <summary>Expand, Tile, and tensors made to measure.</summary>
internal static class ExtensionRules
{
    public static bool Apply(Visit visit) => visit.Node.OpType switch
    {
        "Expand" => Expand(visit),
        "Tile" => Tile(visit),
        "ConstantOfShape" => Made(visit),
        _ => false,
    };

    private static bool Expand(Visit visit)
    {
        if (visit.Labelling.Vector(visit.Scope, visit.Node.Input[1]) is not { } wanted)
            return false;
        var input = visit.Layout(0);
        var rank = Math.Max(input.Rank, wanted.Length);
        var inferred = visit.Labelling.Shape(visit.Node.Output[0]);
        var axes = new List<IReadOnlyList<Atom>>();
        for (var axis = 0; axis < rank; axis++)
        {
            var own = axis - (rank - input.Rank) is >= 0 and var at ? input.Axes[at] : [];
            var entry = axis - (rank - wanted.Length) is >= 0 and var from ? wanted[from] : new Dimension(1, null);
            var length = entry.Value ?? (inferred?.Length == rank ? inferred[axis] : -1);
            axes.Add(own.Count > 0 || entry.Value == 1 ? own : [.. Opaque(entry.Atoms, length)]);
            // A number cannot follow; a length that is computed here would have to be the same.
            if (own.Any(t => t.Block is not null) && entry.Value is null && (entry.Atoms is null || !entry.Atoms.SequenceEqual(own, ReferenceEqualityComparer.Instance)))
                visit.Pin(new Layout([own]), 0, "its length is computed");
        }

        visit.Set(0, new Layout(axes), visit.IsZero(0));
        return true;
    }

    // What is repeated takes the length of another axis, not its units.
    private static IEnumerable<Atom> Opaque(IReadOnlyList<Atom>? atoms, long length) =>
        atoms is not null && atoms.All(t => t.Block is null) ? atoms : length == 1 ? [] : [Atom.Opaque(length)];

    private static bool Tile(Visit visit)
    {
        var input = visit.Layout(0);
        if (visit.Labelling.Integers(visit.Scope, visit.Node.Input[1]) is not { } repeats || repeats.Length != input.Rank)
            return false;
        var axes = new List<IReadOnlyList<Atom>>();
        if (Enumerable.Range(0, input.Rank).Any(a => repeats[a] != 1 && input.Axes[a].Count > 0))
            input = visit.Simple(0);
        for (var axis = 0; axis < input.Rank; axis++)
        {
            var count = repeats[axis];
            // Repeats of an axis are its major factor.
            axes.Add(count == 1 ? input.Axes[axis] : [Atom.Opaque(count), .. input.Axes[axis]]);
        }

        visit.Set(0, new Layout(axes), visit.IsZero(0));
        return true;
    }

    private static bool Made(Visit visit)
    {
        if (visit.Labelling.Vector(visit.Scope, visit.Node.Input[0]) is not { } shape)
            return false;
        foreach (var block in shape.SelectMany(d => d.Atoms ?? []).Select(t => t.Block).OfType<Block>())
            visit.Pin(block.Cells, visit.Barrier("a tensor is made to its length"));
        visit.Set(0, new Layout([.. shape.Select(d => (IReadOnlyList<Atom>)[.. Opaque(d.Atoms, d.Value ?? -1)])]));
        return true;
    }
}
