using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Pruning.Structured.Labels;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured.Rules;

/// <summary>Normalizations, softmax, reductions: what takes statistics along axes.</summary>
internal static class NormalizationRules
{
    private const string Statistics = "it takes statistics over it";
    private const string Channels = "what belongs to each channel cannot shrink";

    public static bool Apply(Visit visit)
    {
        var node = visit.Node;
        switch (node.OpType)
        {
            case "BatchNormalization" when node.Output.Count == 1 || node.Output.Skip(1).All(o => o.Length == 0):
                PerChannel(visit, [SliceRole.Scale, SliceRole.Offset, SliceRole.Other, SliceRole.Other]);
                return true;
            case "InstanceNormalization":
                PerChannel(visit, [SliceRole.Scale, SliceRole.Offset]);
                return true;
            case "GroupNormalization":
                GroupNormalization(visit);
                return true;
            case "LayerNormalization" or "RMSNormalization" when node.Output.Skip(1).All(o => o.Length == 0):
                LayerNormalization(visit);
                return true;
            case "Softmax" or "LogSoftmax" or "Hardmax" or "LpNormalization" or "CumSum":
                // Before version 13 all axes from the given one on were one.
                var axis = node.OpType == "CumSum" ? visit.Labelling.Integers(visit.Scope, node.InputOrEmpty(1)) is [var given] ? visit.Layout(0).Axis(given) : -1 : visit.Layout(0).Axis(node.Int("axis", -1));
                var input = visit.Simple(0, a => a == axis ? 0 : 1);
                if (axis < 0 || visit.Labelling.Model.Opset < 13)
                    visit.PinAll(input, visit.Barrier(Statistics));
                else
                    visit.Pin(input, axis, Statistics);
                visit.Set(0, input, node.OpType == "CumSum" && visit.IsZero(0));
                return true;
            case "ReduceMean" or "ReduceSum" or "ReduceSumSquare" or "ReduceL1" or "ReduceL2" or "ReduceMax" or "ReduceMin" or "ReduceProd" or "ReduceLogSum" or "ReduceLogSumExp" or "ArgMax" or "ArgMin":
                return Reduce(visit);
            default:
                return false;
        }
    }

    private static void PerChannel(Visit visit, SliceRole[] roles)
    {
        var input = visit.Simple(0, a => a == 1 ? 1 : 0);
        for (var axis = 2; visit.Node.OpType == "InstanceNormalization" && axis < input.Rank; axis++)
            visit.Pin(input, axis, Statistics);
        for (var i = 0; i < roles.Length; i++)
        {
            var parameter = visit.Simple(i + 1);
            visit.Role(parameter, 0, roles[i]);
            visit.Tie(input, 1, parameter, 0, Channels);
        }

        visit.Set(0, input, true);
    }

    private static void GroupNormalization(Visit visit)
    {
        var input = visit.Simple(0, a => a == 1 ? 1 : 0);
        for (var axis = 2; axis < input.Rank; axis++)
            visit.Pin(input, axis, Statistics);
        var groups = (int)visit.Node.Int("num_groups");
        var (scale, bias) = (visit.Simple(1), visit.Simple(2));
        visit.Role(scale, 0, SliceRole.Scale);
        visit.Role(bias, 0, SliceRole.Offset);
        if (visit.CellsOf(input, 1) is { } cells && groups > 0 && cells.Length % groups == 0)
        {
            var size = cells.Length / groups;
            for (var i = 0; i < cells.Length; i++)
                visit.Union([cells[i]], [cells[i / size * size]], Channels);
            // Until version 21 a scale a group.
            int[] tied = scale.Length(0) == groups ? [.. Enumerable.Range(0, groups).Select(g => cells[g * size])] : cells;
            IReadOnlyList<Atom> atoms = tied.Length > 1 ? [Atom.Of(Block.Of(tied))] : [];
            visit.Tie(new Layout([atoms]), 0, scale, 0, Channels);
            visit.Tie(new Layout([atoms]), 0, bias, 0, Channels);
            if (groups == 1)
                visit.Pin(cells, visit.Barrier(Statistics));
        }
        else
        {
            visit.PinAll(scale, visit.Barrier(Channels));
            visit.PinAll(bias, visit.Barrier(Channels));
        }

        visit.Set(0, input, true);
    }

    private static void LayerNormalization(Visit visit)
    {
        var first = visit.Layout(0).Axis(visit.Node.Int("axis", -1));
        var input = visit.Simple(0, a => a < first ? 1 : 0);
        for (var axis = first; axis < input.Rank; axis++)
        {
            if (first < input.Rank - 1 || !visit.IsZero(0))
                visit.Pin(input, axis, Statistics);
            else
                Observe(visit, input, axis);
        }

        List<Layout> operands = [input.Computed()];
        for (var i = 1; i < visit.Node.Input.Count; i++)
        {
            if (!visit.Has(i))
                continue;
            var parameter = visit.Simple(i);
            for (var axis = 0; axis < parameter.Rank; axis++)
                visit.Role(parameter, axis, i == 1 ? SliceRole.Scale : SliceRole.Offset);
            operands.Add(parameter);
        }

        visit.Set(0, ElementwiseRules.Broadcast(visit, operands), visit.Layout(1).Blocks.Count > 0);
    }

    private static bool Reduce(Visit visit)
    {
        var node = visit.Node;
        var input = visit.Layout(0);
        var arg = node.OpType is "ArgMax" or "ArgMin";
        var given = arg ? [node.Int("axis")] : visit.Ints("axes", 1);
        if (given is null && !arg && visit.Has(1))
            return false;
        if (given is null or [] && node.Int("noop_with_empty_axes") != 0)
            return false;
        var axes = given is null or [] ? [.. Enumerable.Range(0, input.Rank)] : given.Select(input.Axis).ToHashSet();
        input = visit.Separate(input, a => axes.Contains(a) ? 0 : 1);
        foreach (var axis in axes.Where(a => input.Axes[a].Any(t => t.Block is not null)))
        {
            // Zeros add nothing to a sum, and to a mean what their number tells.
            if (node.OpType is "ReduceMean" or "ReduceSum" or "ReduceSumSquare" or "ReduceL1" or "ReduceL2" && visit.IsZero(0) && input.Blocks.All(b => b.Origin is null))
                Observe(visit, input, axis);
            else
                visit.Pin(input, axis, Statistics);
        }

        var keep = node.Int("keepdims", 1) != 0;
        visit.Set(0, new Layout([.. input.Axes.Select((atoms, a) => axes.Contains(a) ? [] : atoms).Where((_, a) => keep || !axes.Contains(a))]),
            node.OpType is not ("ReduceProd" or "ReduceLogSum" or "ReduceLogSumExp" or "ArgMax" or "ArgMin") && visit.IsZero(0));
        return true;
    }

    private static void Observe(Visit visit, Layout input, int axis)
    {
        if (visit.CellsOf(input, axis) is { } cells)
            visit.Labelling.Statistics.UnionWith(cells.Where(c => c >= 0));
    }
}
