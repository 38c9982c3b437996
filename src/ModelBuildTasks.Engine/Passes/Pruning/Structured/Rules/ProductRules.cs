using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Pruning.Structured.Labels;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured.Rules;

/// <summary>MatMul and Gemm.</summary>
internal static class ProductRules
{
    private const string Summed = "the product sums over it, and the other side cannot shrink";

    public static bool Apply(Visit visit)
    {
        switch (visit.Node.OpType)
        {
            case "MatMul":
                MatMul(visit);
                return true;
            case "Gemm":
                Gemm(visit);
                return true;
            default:
                return false;
        }
    }

    private static void MatMul(Visit visit)
    {
        // What is split into heads and their elements becomes heads: batch axes first.
        var a = Matrix(visit, 0, row: true);
        var b = Matrix(visit, 1, row: false);
        var (columns, rows) = (a.Rank - 1, b.Rank - 2);
        Contract(visit, a, columns, b, rows);
        var batch = ElementwiseRules.Broadcast(visit, [new([.. a.Axes.SkipLast(2)]), new([.. b.Axes.SkipLast(2)])]);
        Made(visit, 0, a, a.Rank - 2);
        Made(visit, 1, b, b.Rank - 1);
        if (!IsConstant(a) && !IsConstant(b))
        {
            foreach (var block in batch.Blocks)
            {
                visit.Labelling.Kinds["heads"].UnionWith(block.Cells);
                visit.Labelling.SharedWork.Add((visit.Address, block.Cells));
            }
        }

        var axes = batch.Axes.ToList();
        if (visit.Layout(0).Rank > 1)
            axes.Add(a.Axes[a.Rank - 2]);
        if (visit.Layout(1).Rank > 1)
            axes.Add(b.Axes[b.Rank - 1]);
        visit.Set(0, new Layout(axes), visit.IsZero(0) || visit.IsZero(1));
    }

    private static void Gemm(Visit visit)
    {
        var node = visit.Node;
        var (a, b) = (visit.Simple(0), visit.Simple(1));
        var (transA, transB) = (node.Int("transA") != 0, node.Int("transB") != 0);
        Contract(visit, a, transA ? 0 : 1, b, transB ? 1 : 0);
        Made(visit, 0, a, transA ? 1 : 0);
        Made(visit, 1, b, transB ? 0 : 1);
        var output = new Layout([a.Axes[transA ? 1 : 0], b.Axes[transB ? 0 : 1]]);
        if (visit.Has(2))
        {
            var bias = visit.Simple(2);
            for (var axis = 0; axis < bias.Rank; axis++)
                visit.Role(bias, axis, SliceRole.Offset);
            output = ElementwiseRules.Broadcast(visit, [output.Computed(), bias]);
        }

        visit.Set(0, output, (visit.IsZero(0) || visit.IsZero(1)) && (!visit.Has(2) || visit.Layout(2).Blocks.Count > 0));
    }

    /// <summary>A side as a matrix with its batch axes; a vector is a row of the left and a column of the right side.</summary>
    private static Layout Matrix(Visit visit, int input, bool row)
    {
        var rank = visit.Layout(input).Rank;
        var layout = visit.Simple(input, axis => axis < rank - 2 ? 2 : 0);
        return rank > 1 ? layout : new Layout(row ? [[], layout.Axes[0]] : [layout.Axes[0], []]);
    }

    /// <summary>Sums over an axis of both sides. What a weight meets can go with the weight's columns.</summary>
    private static void Contract(Visit visit, Layout a, int axisA, Layout b, int axisB)
    {
        var (left, right) = (visit.CellsOf(a, axisA), visit.CellsOf(b, axisB));
        if (left is null && right is null)
            return;
        visit.Role(a, axisA, SliceRole.Consumer);
        visit.Role(b, axisB, SliceRole.Consumer);
        visit.Tie(a, axisA, b, axisB, Summed);
        var (weightA, weightB) = (IsConstant(a, axisA), IsConstant(b, axisB));
        if (!weightA && !weightB)
        {
            visit.Pin([.. left ?? [], .. right ?? []], visit.Barrier("it sums over a product of two computed values"));
        }
        else if (weightA != weightB && left is not null && right is not null)
        {
            visit.Labelling.Consumers.Add(new(visit.Address, weightB ? 1 : 0, visit.Node.Input[weightB ? 0 : 1], weightB ? right : left, 1));
        }
    }

    private static void Made(Visit visit, int input, Layout side, int axis)
    {
        if (!IsConstant(side, axis))
            return;
        visit.Role(side, axis, SliceRole.Producer);
        visit.Labelling.Producers.Add(new(visit.Address, input, visit.CellsOf(side, axis)!));
    }

    private static bool IsConstant(Layout layout, int axis) => layout.Axes[axis].Any(t => t.Block?.Origin is not null);

    private static bool IsConstant(Layout layout) => layout.Blocks.Any(b => b.Origin is not null);
}
