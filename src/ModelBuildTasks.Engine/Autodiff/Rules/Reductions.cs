using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Autodiff.Rules;

/// <summary>Reductions over axes: the gradient goes back to every value that went in, by its weight.</summary>
internal static class Reductions
{
    /// <summary>From the input, the result and the result's gradient (both with the reduced axes kept) to a gradient that broadcasts to the input's shape.</summary>
    private delegate string Share(GraphBuilder b, string x, string y, string g, float count, IReadOnlyList<long> axes);

    public static IEnumerable<KeyValuePair<string, OperatorRule>> Rules =>
    [
        Of("ReduceSum", (_, _, _, g, _, _) => g),
        Of("ReduceMean", (b, _, _, g, count, _) => b.Mul(g, 1 / count)),
        Of("ReduceMax", Extreme),
        Of("ReduceMin", Extreme),
        Of("ReduceL1", (b, x, _, g, _, _) => b.Mul(g, b.Op("Sign", x))),
        Of("ReduceL2", (b, x, y, g, _, _) => b.Mul(b.Div(g, b.Op("Max", y, b.Scalar(1e-30f))), x)),
        Of("ReduceSumSquare", (b, x, _, g, _, _) => b.Mul(b.Mul(g, 2), x)),
        Of("ReduceLogSum", (b, _, y, g, _, _) => b.Div(g, b.Op("Exp", y))),
        Of("ReduceLogSumExp", (b, x, y, g, _, _) => b.Mul(g, b.Op("Exp", b.Sub(x, y)))),
        new("CumSum", new(CumSum) { Inputs = [0] }),
    ];

    // Values that are equally extreme share.
    private static string Extreme(GraphBuilder b, string x, string y, string g, float count, IReadOnlyList<long> axes)
    {
        var mask = b.Mask(b.Op("Equal", x, y));
        return b.Mul(mask, b.Div(g, b.ReduceSum(mask, axes)));
    }

    private static KeyValuePair<string, OperatorRule> Of(string op, Share share) => new(op, new((backward, node) =>
    {
        var b = backward.Build;
        var shape = backward.Shape(node.Input[0]);
        long[] none = node.Int("noop_with_empty_axes") != 0 ? [] : [.. Enumerable.Range(0, shape.Length).Select(i => (long)i)];
        var axes = backward.Graph.Axes(node, shape.Length, 1, none);
        long[] kept = [.. shape.Select((d, i) => axes.Contains(i) ? 1 : d)];
        var (y, g) = (node.Output[0], backward.Of(node));
        if (node.Int("keepdims", 1) == 0)
            (y, g) = (op is "ReduceSum" or "ReduceMean" ? y : b.Reshape(y, kept), b.Reshape(g, kept));
        var result = share(b, node.Input[0], y, g, axes.Aggregate(1f, (n, a) => n * shape[a]), axes);
        // Only these give something that has not the input's shape yet.
        backward.Give(node, 0, op is "ReduceSum" or "ReduceMean" or "ReduceLogSum" && !kept.SequenceEqual(shape) ? b.Expand(result, shape) : result);
    })
    { Inputs = [0] });

    private static void CumSum(Backward backward, NodeProto node)
    {
        // What comes later in the sum has what comes earlier in it.
        var reverse = node.Int("reverse") == 0 ? 1 : 0;
        backward.Give(node, 0, backward.Build.Op("CumSum", [backward.Of(node), node.Input[1]], n => n.Set("reverse", reverse).Set("exclusive", node.Int("exclusive"))));
    }
}
