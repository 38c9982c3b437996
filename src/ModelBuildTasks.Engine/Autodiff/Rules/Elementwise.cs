using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Autodiff.Rules;

/// <summary>Functions of several values, broadcast against each other: a share is summed over the axes along which its input was repeated.</summary>
internal static class Elementwise
{
    public static IEnumerable<KeyValuePair<string, OperatorRule>> Rules =>
    [
        new("Add", new(Sum)),
        new("Sum", new(Sum)),
        new("Mean", new(Mean)),
        new("Sub", new(Sub)),
        new("Mul", new(Mul)),
        new("Div", new(Div)),
        new("Pow", new(Pow)),
        new("Min", new(Extreme)),
        new("Max", new(Extreme)),
        new("Where", new(Where) { Inputs = [1, 2] }),
        new("Identity", new(Same)),
        new("Dropout", new(Same) { Inputs = [0], Limit = Draws }),
        new("Cast", new(Same)),
        new("CastLike", new(Same) { Inputs = [0] }),
    ];

    private static string? Draws(ShapedGraph graph, NodeProto node) =>
        node.InputOrEmpty(2).Length == 0 || (graph.Index.Constant(node.Input[2]) is { } training && graph.Model.ReadBytes(training)[0] == 0) ? null : "Dropout that draws what it drops";

    private static void Same(Backward backward, NodeProto node) => backward.Give(node, 0, backward.Of(node));

    private static void Sum(Backward backward, NodeProto node)
    {
        var g = backward.Of(node);
        for (var i = 0; i < node.Input.Count; i++)
            backward.GiveBroadcast(node, i, () => g);
    }

    private static void Mean(Backward backward, NodeProto node)
    {
        var g = backward.Build.Mul(backward.Of(node), 1f / node.Input.Count);
        for (var i = 0; i < node.Input.Count; i++)
            backward.GiveBroadcast(node, i, () => g);
    }

    private static void Sub(Backward backward, NodeProto node)
    {
        var (b, g) = (backward.Build, backward.Of(node));
        backward.GiveBroadcast(node, 0, () => g);
        if (backward.Wants(node, 1))
            backward.Give(node, 1, b.Neg(b.SumTo(g, backward.Shape(node.Output[0]), backward.Shape(node.Input[1]))));
    }

    private static void Mul(Backward backward, NodeProto node)
    {
        var (b, g) = (backward.Build, backward.Of(node));
        backward.GiveBroadcast(node, 0, () => b.Mul(g, node.Input[1]));
        backward.GiveBroadcast(node, 1, () => b.Mul(g, node.Input[0]));
    }

    private static void Div(Backward backward, NodeProto node)
    {
        var b = backward.Build;
        // g / divisor serves both: the divisor's share is -(a/b)·(g/b).
        var q = b.Div(backward.Of(node), node.Input[1]);
        backward.GiveBroadcast(node, 0, () => q);
        backward.GiveBroadcast(node, 1, () => b.Neg(b.Mul(q, node.Output[0])));
    }

    private static void Pow(Backward backward, NodeProto node)
    {
        var (b, g, x, p) = (backward.Build, backward.Of(node), node.Input[0], node.Input[1]);
        backward.GiveBroadcast(node, 0, () =>
        {
            if (Exponent(backward.Graph, p) is not { } e)
                return b.Mul(g, b.Mul(p, b.Op("Pow", x, b.Sub(p, b.Scalar(1)))));
            var rest = e == 2 ? x : e == 3 ? b.Mul(x, x) : b.Op("Pow", x, b.Scalar(e - 1));
            return b.Mul(g, b.Mul(rest, e));
        });
        // The logarithm of what is not positive is not asked for.
        backward.GiveBroadcast(node, 1, () => b.Mul(g, b.Mul(node.Output[0], b.Op("Log", b.Op("Where", b.Op("Greater", x, b.Scalar(0)), x, b.Scalar(1))))));
    }

    /// <summary>The exponent where it is one constant number, of whatever type.</summary>
    private static float? Exponent(ShapedGraph graph, string name)
    {
        if (graph.Floats(name) is { Length: 1 } floats)
            return floats[0];
        return graph.Longs(name) is { Length: 1 } longs ? longs[0] : null;
    }

    private static void Extreme(Backward backward, NodeProto node)
    {
        var (b, g) = (backward.Build, backward.Of(node));
        if (node.Input.Count == 1)
        {
            backward.Give(node, 0, g);
            return;
        }

        // Where inputs are equal, they share.
        var masks = node.Input.Select(x => b.Mask(b.Op("Equal", x, node.Output[0]))).ToList();
        var shared = b.Div(g, b.Sum(masks));
        for (var i = 0; i < masks.Count; i++)
            backward.GiveBroadcast(node, i, () => b.Mul(shared, masks[i]));
    }

    private static void Where(Backward backward, NodeProto node)
    {
        var (b, g) = (backward.Build, backward.Of(node));
        backward.GiveBroadcast(node, 1, () => b.Op("Where", node.Input[0], g, b.Scalar(0)));
        backward.GiveBroadcast(node, 2, () => b.Op("Where", node.Input[0], b.Scalar(0), g));
    }
}
