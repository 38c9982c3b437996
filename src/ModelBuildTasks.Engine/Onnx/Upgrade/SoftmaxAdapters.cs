namespace ModelBuildTasks.Engine.Onnx.Upgrade;

/// <summary>
/// Up to opset 12 these operators see their input as a matrix, all axes from <c>axis</c> on being one; from 13 on they work
/// along a single axis.
/// </summary>
internal static class SoftmaxAdapters
{
    public static IEnumerable<Adapter> All =>
        new[] { "Softmax", "LogSoftmax", "Hardmax" }.Select(op => new Adapter(op, 13, "works along one axis", Apply));

    private static string? Apply(Rewrite rewrite)
    {
        var node = rewrite.Node;
        var axis = node.Int("axis", 1);
        if (SingleAxis(rewrite.ShapeOf(node.Input[0]), axis) is { } single)
        {
            node.Set("axis", single);
            return null;
        }

        // Without the rank, too, the old meaning can be written down: flatten, work along the last axis, restore the shape.
        var (input, output) = (node.Input[0], node.Output[0]);
        var shape = rewrite.NewName($"{output}_shape");
        var rows = rewrite.NewName($"{output}_rows");
        var result = rewrite.NewName($"{output}_flat");
        node.Input[0] = rows;
        node.Output[0] = result;
        node.Set("axis", -1);
        rewrite.Nodes.InsertRange(0, [GraphExtensions.Node("Shape", [input], [shape]), GraphExtensions.Node("Flatten", [input], [rows]).Set("axis", axis)]);
        rewrite.Nodes.Add(GraphExtensions.Node("Reshape", [result, shape], [output]));
        return null;
    }

    /// <summary>The only axis from <paramref name="axis"/> on that is longer than 1, if that is certain.</summary>
    private static long? SingleAxis(long[]? shape, long axis)
    {
        if (axis == -1)
            return -1;
        if (shape is null)
            return null;
        var first = axis < 0 ? axis + shape.Length : axis;
        var longer = Enumerable.Range(0, shape.Length).Where(i => i >= first && shape[i] != 1).ToList();
        return longer.Count switch
        {
            0 => -1,
            1 => longer[0],
            _ => null,
        };
    }
}
