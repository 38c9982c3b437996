using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Pruning.Structured.Labels;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured.Surgery;

/// <summary>Where a split axis lost more than whole rows, what came out of it is gathered from the axis before the split: an exact channel shuffle of any size.</summary>
internal static class RegatherSurgery
{
    /// <returns>Whether the node is no longer needed, or makes values that nobody reads any more.</returns>
    public static bool Apply(NodeCut node)
    {
        var ragged = false;
        for (var i = 0; i < node.Node.Output.Count; i++)
        {
            if (node.Output(i) is not { } output)
                continue;
            if (node.Scope.Regatherings.TryGetValue(node.Node.Output[i], out var regathering) && ComesFromRagged(node, node.Node.Input[0], regathering.Source.Value))
            {
                Gather(node, i, output, regathering);
                ragged = true;
            }
            else if (node.Cut.IsRagged(output))
            {
                if (!Splits.IsCovered(node.Scope, node.Node.Output[i]))
                    throw new InvalidOperationException($"'{node.Node.DisplayName()}' would have rows of different lengths");
                ragged = true;
            }
        }

        return ragged;
    }

    private static bool ComesFromRagged(NodeCut node, string value, string source)
    {
        while (value != source)
        {
            if (node.Scope.Values.GetValueOrDefault(value)?.Layout is not { } layout || node.Scope.Index.Producer(value) is not { } producer)
                return false;
            if (node.Cut.IsRagged(layout))
                return true;
            value = producer.Input[0];
        }

        return false;
    }

    private static void Gather(NodeCut node, int output, Layout layout, Regathering regathering)
    {
        var source = node.Cut.Labelling.Label(node.Scope, regathering.Source.Value).Layout!;
        var before = node.Cut.Kept(source, regathering.Source.Axis) ?? [.. Enumerable.Repeat(true, (int)source.Length(regathering.Source.Axis))];
        var positions = regathering.Source.Positions;
        long[] indices = [.. positions.Where(p => before[p]).Select(p => (long)before.AsSpan(0, p).Count(true))];
        var name = node.Node.Output[output];
        var reshapes = layout.Rank != source.Rank || regathering.Axis != regathering.Source.Axis
            || Enumerable.Range(0, layout.Rank).Any(a => a != regathering.Axis && !layout.Axes[a].SequenceEqual(source.Axes[a], ReferenceEqualityComparer.Instance));
        var gathered = reshapes ? node.Edit.Name(name) : name;
        node.Target.Output[output] = node.Edit.Name(name);
        node.Edit.Insert(node.Address, GraphExtensions.Node("Gather", [regathering.Source.Value, node.Edit.Vector(node.Address, "channels", indices)], [gathered]).Set("axis", regathering.Source.Axis), behind: true);
        if (!reshapes)
            return;
        var shape = ShapeEntries.Of(source.With(regathering.Source.Axis, layout.Axes[regathering.Axis]), layout, a => node.Cut.Length(layout, a))!;
        node.Edit.Insert(node.Address, GraphExtensions.Node("Reshape", [gathered, node.Edit.Vector(node.Address, "shape", shape)], [name]), behind: true);
    }
}
