using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Autodiff.Rules;

/// <summary>Normalizations that are worth a rule of their own; the others are taken apart first (<see cref="Lowering.NormalizationParts"/>).</summary>
internal static class Normalizations
{
    public static IEnumerable<KeyValuePair<string, OperatorRule>> Rules =>
    [
        // Mean and variance are what training left: constants.
        new("BatchNormalization", new(BatchNormalization) { Inputs = [0, 1, 2], Limit = (_, n) => n.Int("training_mode") != 0 ? "BatchNormalization in training mode" : null }),
        new("LayerNormalization", new(LayerNormalization)),
    ];

    private static void BatchNormalization(Backward backward, NodeProto node)
    {
        var (b, g) = (backward.Build, backward.Of(node));
        var x = backward.Shape(node.Input[0]);
        long[] channel = [x[1], .. Enumerable.Repeat(1L, x.Length - 2)];
        long[] others = [0, .. Enumerable.Range(2, x.Length - 2).Select(i => (long)i)];
        var deviation = b.Op("Sqrt", b.Add(node.Input[4], b.Scalar(node.Float("epsilon", 1e-5f))));
        if (backward.Wants(node, 0))
            backward.Give(node, 0, b.Mul(g, b.Reshape(b.Div(node.Input[1], deviation), channel)));
        if (backward.Wants(node, 1))
        {
            var centred = b.Sub(node.Input[0], b.Reshape(node.Input[3], channel));
            backward.Give(node, 1, b.Div(b.ReduceSum(b.Mul(g, centred), others, keep: false), deviation));
        }

        if (backward.Wants(node, 2))
            backward.Give(node, 2, b.ReduceSum(g, others, keep: false));
    }

    private static void LayerNormalization(Backward backward, NodeProto node)
    {
        var (b, g) = (backward.Build, backward.Of(node));
        var x = backward.Shape(node.Input[0]);
        var axis = ShapedGraph.Axis(node, x.Length, -1);
        long[] axes = [.. Enumerable.Range(axis, x.Length - axis).Select(i => (long)i)];
        // The forward node gives mean and 1 / deviation, too.
        for (var i = node.Output.Count; i < 3; i++)
            node.Output.Add("");
        for (var i = 1; i < 3; i++)
        {
            if (node.Output[i].Length == 0)
                node.Output[i] = b.Name("statistic");
        }

        var normal = b.Mul(b.Sub(node.Input[0], node.Output[1]), node.Output[2]);
        if (backward.Wants(node, 0))
        {
            var h = b.Mul(g, node.Input[1]);
            var along = b.Mul(normal, b.ReduceMean(b.Mul(h, normal), axes));
            backward.Give(node, 0, b.Mul(b.Sub(b.Sub(h, b.ReduceMean(h, axes)), along), node.Output[2]));
        }

        if (backward.Wants(node, 1))
            backward.Give(node, 1, b.SumTo(b.Mul(g, normal), x, backward.Shape(node.Input[1])));
        if (backward.Wants(node, 2))
            backward.Give(node, 2, b.SumTo(g, x, backward.Shape(node.Input[2])));
    }
}
