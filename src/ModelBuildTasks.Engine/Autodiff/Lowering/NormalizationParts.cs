using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Autodiff.Lowering;

/// <summary>Normalizations as means, differences and quotients.</summary>
internal static class NormalizationParts
{
    public static IEnumerable<KeyValuePair<string, OperatorLowering>> Lowerings =>
    [
        new("InstanceNormalization", new(Instance)),
        new("GroupNormalization", new(Group)),
        new("RMSNormalization", new(RootMeanSquare)),
        new("LpNormalization", new(Length)),
        new("MeanVarianceNormalization", new(MeanVariance)),
        new("LRN", new(LocalResponse)),
        new("Swish", new(Swish)),
    ];

    private static string Normal(GraphBuilder b, string x, long[] axes, float epsilon)
    {
        var centred = b.Sub(x, b.ReduceMean(x, axes));
        var variance = b.ReduceMean(b.Mul(centred, centred), axes);
        return b.Div(centred, b.Op("Sqrt", b.Add(variance, b.Scalar(epsilon))));
    }

    private static long[] From(int first, int rank) => [.. Enumerable.Range(first, rank - first).Select(i => (long)i)];

    private static IReadOnlyList<string?> Instance(ShapedGraph graph, GraphBuilder b, NodeProto node)
    {
        var x = graph.Shape(node.Input[0]);
        long[] channel = [x[1], .. Enumerable.Repeat(1L, x.Length - 2)];
        var normal = Normal(b, node.Input[0], From(2, x.Length), node.Float("epsilon", 1e-5f));
        return [b.Add(b.Mul(normal, b.Reshape(node.Input[1], channel)), b.Reshape(node.Input[2], channel))];
    }

    private static IReadOnlyList<string?> Group(ShapedGraph graph, GraphBuilder b, NodeProto node)
    {
        var x = graph.Shape(node.Input[0]);
        var groups = node.Int("num_groups");
        long[] grouped = [x[0], groups, x[1] / groups, .. x[2..]];
        var normal = Normal(b, b.Reshape(node.Input[0], grouped), From(2, grouped.Length), node.Float("epsilon", 1e-5f));
        // Up to opset 20 there is one scale a group, from 21 on one a channel.
        var perGroup = graph.Shape(node.Input[1])[0] == groups && groups != x[1];
        long[] open = perGroup ? [groups, .. Enumerable.Repeat(1L, x.Length - 1)] : [groups, x[1] / groups, .. Enumerable.Repeat(1L, x.Length - 2)];
        return [b.Reshape(b.Add(b.Mul(normal, b.Reshape(node.Input[1], open)), b.Reshape(node.Input[2], open)), x)];
    }

    private static IReadOnlyList<string?> RootMeanSquare(ShapedGraph graph, GraphBuilder b, NodeProto node)
    {
        var rank = graph.Shape(node.Input[0]).Length;
        var axes = From(ShapedGraph.Axis(node, rank, -1), rank);
        var square = b.ReduceMean(b.Mul(node.Input[0], node.Input[0]), axes);
        var normal = b.Div(node.Input[0], b.Op("Sqrt", b.Add(square, b.Scalar(node.Float("epsilon", 1e-5f)))));
        return [b.Mul(normal, node.Input[1])];
    }

    private static IReadOnlyList<string?> Length(ShapedGraph graph, GraphBuilder b, NodeProto node)
    {
        var axis = ShapedGraph.Axis(node, graph.Shape(node.Input[0]).Length, -1);
        var length = b.Op(node.Int("p", 2) == 1 ? "ReduceL1" : "ReduceL2", [node.Input[0], b.Ints(axis)], null);
        return [b.Div(node.Input[0], b.Op("Max", length, b.Scalar(1e-30f)))];
    }

    private static IReadOnlyList<string?> MeanVariance(ShapedGraph graph, GraphBuilder b, NodeProto node) =>
        [Normal(b, node.Input[0], node.Ints("axes") ?? [0, 2, 3], 1e-9f)];

    // x / (bias + alpha / size · Σ x² over the channels around)^beta
    private static IReadOnlyList<string?> LocalResponse(ShapedGraph graph, GraphBuilder b, NodeProto node)
    {
        var shape = graph.Shape(node.Input[0]);
        var size = node.Int("size");
        var before = (size - 1) / 2;
        long[] Around(long channels) => [0, channels, .. Enumerable.Repeat(0L, shape.Length - 2)];
        var squares = b.Pad(b.Mul(node.Input[0], node.Input[0]), Around(before), Around(size - 1 - before));
        var sum = b.Sum([.. Enumerable.Range(0, (int)size).Select(i => b.Slice(squares, [1], [i], [i + shape[1]]))]);
        var norm = b.Add(b.Mul(sum, node.Float("alpha", 1e-4f) / size), b.Scalar(node.Float("bias", 1)));
        return [b.Div(node.Input[0], b.Op("Pow", norm, b.Scalar(node.Float("beta", 0.75f))))];
    }

    private static IReadOnlyList<string?> Swish(ShapedGraph graph, GraphBuilder b, NodeProto node) =>
        [b.Mul(node.Input[0], b.Op("Sigmoid", b.Mul(node.Input[0], node.Float("alpha", 1))))];
}
