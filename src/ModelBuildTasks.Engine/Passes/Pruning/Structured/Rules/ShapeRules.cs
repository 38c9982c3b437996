using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Pruning.Structured.Labels;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured.Rules;

/// <summary>
/// Shape arithmetic: vectors whose elements are lengths of axes are followed while elements are only picked and put together, so that a Reshape is understood
/// that takes its lengths from them. A length that anything else reads must stay what it is.
/// </summary>
internal static class ShapeRules
{
    public static bool Apply(Visit visit)
    {
        var node = visit.Node;
        if (node.OpType == "Shape")
            return Shape(visit);
        var vectors = node.Input.Select(i => visit.Scope.Shapes.GetValueOrDefault(i)).ToList();
        if (vectors.TrueForAll(v => v is null))
        {
            return false;
        }

        if (Result(visit) is { } result)
        {
            visit.Scope.Shapes[node.Output[0]] = result;
            visit.Set(0, visit.Labelling.Shape(node.Output[0]) is { } shape ? Layout.Opaque(shape) : null);
            return true;
        }

        // These take a shape for what it is and are asked about its elements.
        if (node.OpType is "Reshape" or "Expand")
            return false;
        var barrier = visit.Barrier("a number is computed from lengths of axes");
        foreach (var block in vectors.OfType<Dimension[]>().SelectMany(v => v).SelectMany(d => d.Atoms ?? []).Select(a => a.Block).OfType<Block>())
            visit.Pin(block.Cells, barrier);
        return false;
    }

    private static bool Shape(Visit visit)
    {
        var input = visit.Layout(0);
        var (start, end) = (Clamp(visit.Node.Int("start"), input.Rank), Clamp(visit.Node.Int("end", input.Rank), input.Rank));
        visit.Scope.Shapes[visit.Node.Output[0]] = [.. Enumerable.Range(start, Math.Max(0, end - start)).Select(a => new Dimension(input.Axes[a].Count == 0 ? 1 : null, input.Axes[a]))];
        visit.Set(0, Layout.Opaque([Math.Max(0, end - start)]));
        return true;
    }

    private static Dimension[]? Result(Visit visit)
    {
        var (node, labelling, scope) = (visit.Node, visit.Labelling, visit.Scope);
        if (labelling.Vector(scope, node.InputOrEmpty(0)) is not { } first)
            return null;
        switch (node.OpType)
        {
            case "Identity" or "Cast" or "Squeeze" or "Unsqueeze":
                return first;
            case "Gather" when labelling.Integers(scope, node.Input[1]) is { } indices && node.Int("axis") is 0 or -1:
                return indices.All(i => i >= -first.Length && i < first.Length) ? [.. indices.Select(i => first[i < 0 ? i + first.Length : i])] : null;
            case "Slice" when labelling.Integers(scope, node.Input[1]) is [var start] && labelling.Integers(scope, node.Input[2]) is [var end]
                && (!visit.Has(4) || labelling.Integers(scope, node.Input[4]) is [1]):
                var (from, to) = (Clamp(start, first.Length), Clamp(end, first.Length));
                return from < to ? first[from..to] : [];
            case "Concat":
                var parts = node.Input.Select(i => labelling.Vector(scope, i)).ToList();
                return parts.Contains(null) ? null : [.. parts.SelectMany(p => p!)];
            default:
                return null;
        }
    }

    private static int Clamp(long axis, int rank) => (int)Math.Clamp(axis < 0 ? axis + rank : axis, 0, rank);
}
