using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Autodiff.Rules;

/// <summary>What moves values without changing them: the gradient moves back.</summary>
internal static class Shaping
{
    public static IEnumerable<KeyValuePair<string, OperatorRule>> Rules =>
    [
        new("Reshape", new(BackInShape) { Inputs = [0] }),
        new("Flatten", new(BackInShape) { Inputs = [0] }),
        new("Squeeze", new(BackInShape) { Inputs = [0] }),
        new("Unsqueeze", new(BackInShape) { Inputs = [0] }),
        new("Transpose", new(Transpose)),
        new("Expand", new(Expand) { Inputs = [0] }),
        new("Tile", new(Tile) { Inputs = [0], Limit = (g, n) => g.Longs(n.InputOrEmpty(1)) is null ? "Tile with computed repeats" : null }),
        new("Concat", new(Concat)),
        new("Split", new(Split) { Inputs = [0] }),
        new("DepthToSpace", new(DepthToSpace)),
        new("SpaceToDepth", new(SpaceToDepth)),
        new("Trilu", new(Trilu) { Inputs = [0] }),
    ];

    private static void BackInShape(Backward backward, NodeProto node) =>
        backward.Give(node, 0, backward.Build.Reshape(backward.Of(node), backward.Shape(node.Input[0])));

    private static void Transpose(Backward backward, NodeProto node)
    {
        var rank = backward.Shape(node.Input[0]).Length;
        var perm = node.Ints("perm") ?? [.. Enumerable.Range(0, rank).Select(i => (long)(rank - 1 - i))];
        var back = new long[rank];
        for (var i = 0; i < rank; i++)
            back[perm[i]] = i;
        backward.Give(node, 0, backward.Build.Transpose(backward.Of(node), back));
    }

    private static void Expand(Backward backward, NodeProto node) =>
        backward.Give(node, 0, backward.Build.SumTo(backward.Of(node), backward.Shape(node.Output[0]), backward.Shape(node.Input[0])));

    private static void Tile(Backward backward, NodeProto node)
    {
        var b = backward.Build;
        var shape = backward.Shape(node.Input[0]);
        var repeats = backward.Graph.Longs(node.Input[1])!;
        var parted = b.Reshape(backward.Of(node), [.. shape.SelectMany((d, i) => new[] { repeats[i], d })]);
        backward.Give(node, 0, b.ReduceSum(parted, [.. Enumerable.Range(0, shape.Length).Select(i => 2L * i)], keep: false));
    }

    private static void Concat(Backward backward, NodeProto node)
    {
        var axis = ShapedGraph.Axis(node, backward.Shape(node.Output[0]).Length, 0);
        var parts = backward.Build.Split(backward.Of(node), [.. node.Input.Select(i => backward.Shape(i)[axis])], axis);
        for (var i = 0; i < parts.Length; i++)
        {
            if (backward.Wants(node, i))
                backward.Give(node, i, parts[i]);
        }
    }

    private static void Split(Backward backward, NodeProto node)
    {
        var axis = ShapedGraph.Axis(node, backward.Shape(node.Input[0]).Length, 0);
        backward.Give(node, 0, backward.Build.Concat([.. Enumerable.Range(0, node.Output.Count).Select(i => backward.Of(node, i))], axis));
    }

    // Blocks go from channels to space and back: each is the other's way back.
    private static void DepthToSpace(Backward backward, NodeProto node)
    {
        var (b, block) = (backward.Build, node.Int("blocksize"));
        var x = backward.Shape(node.Input[0]);
        var (n, c, h, w) = (x[0], x[1] / (block * block), x[2], x[3]);
        var parted = b.Reshape(backward.Of(node), n, c, h, block, w, block);
        var moved = node.String("mode", "DCR") == "CRD" ? b.Transpose(parted, 0, 1, 3, 5, 2, 4) : b.Transpose(parted, 0, 3, 5, 1, 2, 4);
        backward.Give(node, 0, b.Reshape(moved, x));
    }

    private static void SpaceToDepth(Backward backward, NodeProto node) =>
        backward.Give(node, 0, backward.Build.Op("DepthToSpace", [backward.Of(node)], n => n.Set("blocksize", node.Int("blocksize"))));

    private static void Trilu(Backward backward, NodeProto node) =>
        backward.Give(node, 0, backward.Build.Op("Trilu", [backward.Of(node), node.InputOrEmpty(1)], n => n.Set("upper", node.Int("upper", 1))));
}
