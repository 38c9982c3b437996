using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Autodiff.Rules;

/// <summary>Functions of one value. Where the result says enough, the input is not kept.</summary>
internal static class Activations
{
    private delegate string Derivative(GraphBuilder b, NodeProto node, string x, string y, string g);

    public static IEnumerable<KeyValuePair<string, OperatorRule>> Rules =>
    [
        // A comparison and a cast of its bytes: a third of the time of Sign, and of Where.
        Of("Relu", (b, _, _, y, g) => b.Mul(g, b.Mask(Positive(b, y)))),
        Of("LeakyRelu", (b, n, x, _, g) => b.Mul(g, Chosen(b, Positive(b, x), 1, n.Float("alpha", 0.01f)))),
        Of("ThresholdedRelu", (b, n, x, _, g) => b.Mul(g, b.Mask(b.Op("Greater", x, b.Scalar(n.Float("alpha", 1)))))),
        Of("Sigmoid", (b, _, _, y, g) => b.Mul(g, b.Mul(y, b.Sub(b.Scalar(1), y)))),
        Of("Tanh", (b, _, _, y, g) => b.Sub(g, b.Mul(g, b.Mul(y, y)))),
        Of("Erf", (b, _, x, _, g) => b.Mul(g, b.Mul(b.Op("Exp", b.Neg(b.Mul(x, x))), (float)(2 / Math.Sqrt(Math.PI))))),
        Of("Exp", (b, _, _, y, g) => b.Mul(g, y)),
        Of("Log", (b, _, x, _, g) => b.Div(g, x)),
        Of("Sqrt", (b, _, _, y, g) => b.Div(b.Mul(g, 0.5f), y)),
        Of("Reciprocal", (b, _, _, y, g) => b.Neg(b.Mul(g, b.Mul(y, y)))),
        Of("Abs", (b, _, x, _, g) => b.Mul(g, b.Op("Sign", x))),
        Of("Neg", (b, _, _, _, g) => b.Neg(g)),
        Of("Sin", (b, _, x, _, g) => b.Mul(g, b.Op("Cos", x))),
        Of("Cos", (b, _, x, _, g) => b.Neg(b.Mul(g, b.Op("Sin", x)))),
        Of("Atan", (b, _, x, _, g) => b.Div(g, b.Add(b.Mul(x, x), b.Scalar(1)))),
        Of("Tan", (b, _, _, y, g) => b.Mul(g, b.Add(Square(b, y), b.Scalar(1)))),
        Of("Sinh", (b, _, x, _, g) => b.Mul(g, b.Op("Cosh", x))),
        Of("Cosh", (b, _, x, _, g) => b.Mul(g, b.Op("Sinh", x))),
        Of("Asin", (b, _, x, _, g) => b.Div(g, b.Op("Sqrt", b.Sub(b.Scalar(1), Square(b, x))))),
        Of("Acos", (b, _, x, _, g) => b.Neg(b.Div(g, b.Op("Sqrt", b.Sub(b.Scalar(1), Square(b, x)))))),
        Of("Asinh", (b, _, x, _, g) => b.Div(g, b.Op("Sqrt", b.Add(Square(b, x), b.Scalar(1))))),
        Of("Acosh", (b, _, x, _, g) => b.Div(g, b.Op("Sqrt", b.Sub(Square(b, x), b.Scalar(1))))),
        Of("Atanh", (b, _, x, _, g) => b.Div(g, b.Sub(b.Scalar(1), Square(b, x)))),
        // Both sides are straight lines, moved towards zero by the bias.
        Of("Shrink", (b, n, x, _, g) => b.Mul(g, b.Mask(b.Op("Greater", b.Op("Abs", x), b.Scalar(n.Float("lambd", 0.5f)))))),
        Of("Softplus", (b, _, x, _, g) => b.Mul(g, b.Op("Sigmoid", x))),
        Of("Softsign", (b, _, x, _, g) => b.Div(g, Square(b, b.Add(b.Op("Abs", x), b.Scalar(1))))),
        Of("Elu", (b, n, x, y, g) => b.Mul(g, b.Op("Where", Positive(b, x), b.Scalar(1), b.Add(y, b.Scalar(n.Float("alpha", 1)))))),
        Of("Celu", (b, n, x, _, g) => b.Mul(g, b.Op("Exp", b.Op("Min", b.Mul(x, 1 / n.Float("alpha", 1)), b.Scalar(0))))),
        Of("Selu", Selu),
        Of("HardSigmoid", (b, n, _, y, g) => b.Mul(g, Chosen(b, Inside(b, y, 0, 1), n.Float("alpha", 0.2f), 0))),
        Of("HardSwish", (b, _, x, _, g) => b.Mul(g, HardSwish(b, x))),
        Of("Mish", Mish),
        Of("Gelu", Gelu),
        new("Clip", new OperatorRule(Clip) { Inputs = [0] }),
        new("PRelu", new OperatorRule(PRelu)),
    ];

    private static KeyValuePair<string, OperatorRule> Of(string op, Derivative derivative) => new(op, new OperatorRule((backward, node) =>
        backward.Give(node, 0, derivative(backward.Build, node, node.Input[0], node.Output[0], backward.Of(node)))));

    private static string Positive(GraphBuilder b, string x) => b.Op("Greater", x, b.Scalar(0));

    private static string Square(GraphBuilder b, string x) => b.Mul(x, x);

    private static string Chosen(GraphBuilder b, string condition, float yes, float no) => b.Op("Where", condition, b.Scalar(yes), b.Scalar(no));

    private static string Inside(GraphBuilder b, string x, float low, float high) =>
        b.Op("And", b.Op("Greater", x, b.Scalar(low)), b.Op("Less", x, b.Scalar(high)));

    private static string Selu(GraphBuilder b, NodeProto node, string x, string y, string g)
    {
        var (alpha, gamma) = (node.Float("alpha", 1.67326319217681884765625f), node.Float("gamma", 1.05070102214813232421875f));
        return b.Mul(g, b.Op("Where", Positive(b, x), b.Scalar(gamma), b.Add(y, b.Scalar(alpha * gamma))));
    }

    // x · clip(x/6 + 1/2, 0, 1): a straight line outside ±3, (2x + 3)/6 between.
    private static string HardSwish(GraphBuilder b, string x) =>
        b.Op("Where", Inside(b, x, -3, 3), b.Add(b.Mul(x, 1f / 3), b.Scalar(0.5f)), b.Mask(b.Op("Greater", x, b.Scalar(0))));

    // x · tanh(softplus(x))
    private static string Mish(GraphBuilder b, NodeProto node, string x, string y, string g)
    {
        var t = b.Op("Tanh", b.Op("Softplus", x));
        var slope = b.Mul(b.Mul(x, b.Op("Sigmoid", x)), b.Sub(b.Scalar(1), Square(b, t)));
        return b.Mul(g, b.Add(t, slope));
    }

    private static string Gelu(GraphBuilder b, NodeProto node, string x, string y, string g)
    {
        if (node.String("approximate", "none") == "tanh")
        {
            var (c, a) = ((float)Math.Sqrt(2 / Math.PI), 0.044715f);
            var square = Square(b, x);
            var t = b.Op("Tanh", b.Mul(b.Mul(x, b.Add(b.Mul(square, a), b.Scalar(1))), c));
            var inner = b.Mul(b.Add(b.Mul(square, 3 * a), b.Scalar(1)), c);
            var slope = b.Mul(b.Mul(x, b.Sub(b.Scalar(1), Square(b, t))), inner);
            return b.Mul(g, b.Mul(b.Add(b.Add(t, b.Scalar(1)), slope), 0.5f));
        }

        var phi = b.Mul(b.Add(b.Op("Erf", b.Mul(x, (float)Math.Sqrt(0.5))), b.Scalar(1)), 0.5f);
        var density = b.Mul(b.Op("Exp", b.Mul(Square(b, x), -0.5f)), (float)(1 / Math.Sqrt(2 * Math.PI)));
        return b.Mul(g, b.Add(phi, b.Mul(x, density)));
    }

    private static void Clip(Backward backward, NodeProto node)
    {
        // What was not clipped came through unchanged.
        var b = backward.Build;
        backward.Give(node, 0, b.Mul(backward.Of(node), b.Mask(b.Op("Equal", node.Input[0], node.Output[0]))));
    }

    private static void PRelu(Backward backward, NodeProto node)
    {
        var (b, g, x) = (backward.Build, backward.Of(node), node.Input[0]);
        if (backward.Wants(node, 0))
            backward.Give(node, 0, b.Op("Where", Positive(b, x), g, b.Mul(g, node.Input[1])));
        backward.GiveBroadcast(node, 1, () => b.Mul(g, b.Op("Min", x, b.Scalar(0))));
    }
}
