using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Autodiff.Rules;

/// <summary>Matrix products.</summary>
internal static class Products
{
    public static IEnumerable<KeyValuePair<string, OperatorRule>> Rules =>
    [
        new("MatMul", new(MatMul)),
        new("Gemm", new(Gemm)),
        new("Einsum", new(Einsum) { Limit = EinsumLimit }),
    ];

    private static void MatMul(Backward backward, NodeProto node)
    {
        var (b, g) = (backward.Build, backward.Of(node));
        var (x, y) = (node.Input[0], node.Input[1]);
        var (xs, ys) = (backward.Shape(x), backward.Shape(y));
        // A vector is a matrix of one row or one column whose axis is left out of the result.
        long[] a = xs.Length == 1 ? [1, xs[0]] : xs;
        long[] c = ys.Length == 1 ? [ys[0], 1] : ys;
        var batch = Broadcast(a[..^2], c[..^2]);
        long[] full = [.. batch, a[^2], c[^1]];
        if (xs.Length == 1 || ys.Length == 1)
            g = b.Reshape(g, full);
        string left() => xs.Length == 1 ? b.Reshape(x, a) : x;
        string right() => ys.Length == 1 ? b.Reshape(y, c) : y;

        if (c.Length == 2 && a.Length > 2)
        {
            // One matrix for the whole batch: the batch is rows.
            if (backward.Wants(node, 0))
                backward.Give(node, 0, b.MatMul(g, b.TransposeLast(right(), 2)));
            if (backward.Wants(node, 1))
                backward.Give(node, 1, Shaped(b, b.Gemm(b.Reshape(x, -1, a[^1]), b.Reshape(g, -1, c[^1]), transA: true), c, ys));
            return;
        }

        if (backward.Wants(node, 0))
            backward.Give(node, 0, Shaped(b, b.SumTo(b.MatMul(g, b.TransposeLast(right(), c.Length)), [.. batch, a[^2], a[^1]], a), a, xs));
        if (backward.Wants(node, 1))
            backward.Give(node, 1, Shaped(b, b.SumTo(b.MatMul(b.TransposeLast(left(), a.Length), g), [.. batch, c[^2], c[^1]], c), c, ys));
    }

    private static string Shaped(GraphBuilder b, string x, long[] from, long[] to) => from.SequenceEqual(to) ? x : b.Reshape(x, to);

    private static long[] Broadcast(long[] a, long[] b)
    {
        var result = new long[Math.Max(a.Length, b.Length)];
        for (var i = 1; i <= result.Length; i++)
        {
            var (p, q) = (i <= a.Length ? a[^i] : 1, i <= b.Length ? b[^i] : 1);
            result[^i] = p == 1 ? q : p;
        }

        return result;
    }

    private static void Gemm(Backward backward, NodeProto node)
    {
        var (b, g) = (backward.Build, backward.Of(node));
        var (x, y) = (node.Input[0], node.Input[1]);
        var (transA, transB) = (node.Int("transA") != 0, node.Int("transB") != 0);
        var alpha = node.Float("alpha", 1);
        if (backward.Wants(node, 0))
            backward.Give(node, 0, transA ? b.Gemm(y, g, transB, true, alpha) : b.Gemm(g, y, false, !transB, alpha));
        if (backward.Wants(node, 1))
            backward.Give(node, 1, transB ? b.Gemm(g, x, true, transA, alpha) : b.Gemm(x, g, !transA, false, alpha));
        if (backward.Wants(node, 2))
            backward.Give(node, 2, b.Mul(b.SumTo(g, backward.Shape(node.Output[0]), backward.Shape(node.Input[2])), node.Float("beta", 1)));
    }

    private static string? EinsumLimit(ShapedGraph graph, NodeProto node)
    {
        var (inputs, output) = Equation(node);
        var all = inputs.Append(output);
        if (node.Input.Count > 2)
            return "Einsum of more than two inputs";
        return all.Any(t => t.Contains('.', StringComparison.Ordinal)) ? "Einsum with an ellipsis"
            : all.Any(t => t.Distinct().Count() != t.Length) ? "Einsum with a repeated index" : null;
    }

    private static (string[] Inputs, string Output) Equation(NodeProto node)
    {
        var equation = node.String("equation").Replace(" ", "", StringComparison.Ordinal);
        var arrow = equation.IndexOf("->", StringComparison.Ordinal);
        var inputs = (arrow < 0 ? equation : equation[..arrow]).Split(',');
        // Without an arrow, the result has the indices that occur once, in the order of the alphabet.
        var output = arrow >= 0 ? equation[(arrow + 2)..] : string.Concat(string.Concat(inputs).GroupBy(c => c).Where(c => c.Count() == 1).Select(c => c.Key).Order());
        return (inputs, output);
    }

    private static void Einsum(Backward backward, NodeProto node)
    {
        var (b, g) = (backward.Build, backward.Of(node));
        var (inputs, output) = Equation(node);
        for (var i = 0; i < inputs.Length; i++)
        {
            if (!backward.Wants(node, i))
                continue;
            var other = inputs.Length == 2 ? 1 - i : -1;
            var known = output + (other < 0 ? "" : inputs[other]);
            // An index that only this input has was summed over: its gradient is the same all along it.
            var kept = string.Concat(inputs[i].Where(known.Contains));
            var terms = other < 0 ? output : $"{output},{inputs[other]}";
            string[] values = other < 0 ? [g] : [g, node.Input[other]];
            var part = b.Op("Einsum", values, n => n.Set("equation", $"{terms}->{kept}"));
            if (kept != inputs[i])
            {
                var shape = backward.Shape(node.Input[i]);
                long[] open = [.. inputs[i].Select((c, k) => kept.Contains(c) ? shape[k] : 1)];
                part = b.Expand(b.Reshape(part, open), shape);
            }

            backward.Give(node, i, part);
        }
    }
}
