using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Pruning.Structured.Labels;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured.Rules;

/// <summary>Operators that give every element of their input another place.</summary>
internal static class MovementRules
{
    public static bool Apply(Visit visit)
    {
        var node = visit.Node;
        switch (node.OpType)
        {
            case "Identity":
                Moved(visit, visit.Layout(0));
                return true;
            case "Transpose":
                var input = visit.Layout(0);
                var order = node.Ints("perm") ?? [.. Enumerable.Range(0, input.Rank).Select(a => (long)(input.Rank - 1 - a))];
                Moved(visit, new Layout([.. order.Select(a => input.Axes[(int)a])]));
                return true;
            case "Squeeze" when !visit.Has(1) || visit.Ints("axes", 1) is not null:
                Moved(visit, Squeezed(visit, visit.Layout(0), visit.Ints("axes", 1)));
                return true;
            case "Unsqueeze" when visit.Ints("axes", 1) is { } axes:
                var grown = visit.Layout(0).Axes.ToList();
                var rank = grown.Count + axes.Length;
                foreach (var axis in axes.Select(a => (int)(a < 0 ? a + rank : a)).Order())
                    grown.Insert(axis, []);
                Moved(visit, new Layout(grown));
                return true;
            case "Flatten":
                var flat = visit.Layout(0);
                var at = (int)node.Int("axis", 1);
                at = at < 0 ? at + flat.Rank : at;
                Moved(visit, new Layout([[.. flat.Axes.Take(at).SelectMany(a => a)], [.. flat.Axes.Skip(at).SelectMany(a => a)]]));
                return true;
            case "Reshape" when Lengths(visit) is { } lengths:
                var reshaped = ReshapeRule.Apply(visit, visit.Layout(0), lengths.Dims, lengths.Hints);
                if (Surgery.ShapeEntries.Of(visit.Layout(0), reshaped, reshaped.Length) is null)
                    visit.PinAll(reshaped, visit.Barrier("its shape is computed, and no constant can take its place"));
                Moved(visit, reshaped);
                return true;
            default:
                return false;
        }
    }

    private static void Moved(Visit visit, Layout layout) => visit.SetMoved(0, layout, visit.IsZero(0));

    private static Layout Squeezed(Visit visit, Layout input, long[]? axes)
    {
        // Without axes, those of length 1 go: an axis of unknown length may be one, and then the rank is not known.
        var gone = axes?.Select(input.Axis).ToHashSet() ?? [.. Enumerable.Range(0, input.Rank).Where(a => input.Axes[a].Count == 0)];
        if (axes is null && Enumerable.Range(0, input.Rank).Any(a => input.Length(a) < 0))
            throw new UnknownRankException();
        foreach (var axis in gone)
            visit.Pin(input, axis, "an axis that could shrink is taken away");
        return new Layout([.. input.Axes.Where((_, a) => !gone.Contains(a))]);
    }

    /// <summary>Lengths of a Reshape's output and, of those that are unknown, which axis' they are.</summary>
    private static (long[] Dims, IReadOnlyList<Atom>?[] Hints)? Lengths(Visit visit)
    {
        var node = visit.Node;
        var inferred = visit.Labelling.Shape(node.Output[0]);
        var wanted = visit.Labelling.Vector(visit.Scope, node.InputOrEmpty(1));
        if ((wanted?.Length ?? inferred?.Length) is not { } rank)
            return null;
        var input = visit.Layout(0);
        var (dims, hints) = (new long[rank], new IReadOnlyList<Atom>?[rank]);
        for (var i = 0; i < rank; i++)
        {
            dims[i] = inferred?.Length == rank ? inferred[i] : -1;
            if (wanted?[i] is not { } entry)
                continue;
            var copy = entry.Value == 0 && node.Int("allowzero") == 0 && i < input.Rank;
            hints[i] = copy ? input.Axes[i] : entry.Atoms;
            if (entry.Value > 0)
                dims[i] = entry.Value.Value;
            else if (copy && input.Length(i) >= 0)
                dims[i] = input.Length(i);
            else if (entry.Atoms is not null && Layout.Length(entry.Atoms) >= 0)
                dims[i] = Layout.Length(entry.Atoms);
        }

        // What is left for a single -1.
        if (dims.Count(d => d < 0) == 1 && Enumerable.Range(0, input.Rank).All(a => input.Length(a) >= 0))
        {
            var others = dims.Where(d => d >= 0).Aggregate(1L, (p, d) => p * d);
            if (others > 0)
                dims[Array.FindIndex(dims, d => d < 0)] = Enumerable.Range(0, input.Rank).Aggregate(1L, (p, a) => p * input.Length(a)) / others;
        }

        return (dims, hints);
    }
}
