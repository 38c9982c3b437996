using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Autodiff;

/// <summary>The operators that rules use most, in short.</summary>
internal static class GraphBuilderOperators
{
    public static string Add(this GraphBuilder g, string a, string b) => g.Op("Add", a, b);

    public static string Sub(this GraphBuilder g, string a, string b) => g.Op("Sub", a, b);

    public static string Mul(this GraphBuilder g, string a, string b) => g.Op("Mul", a, b);

    public static string Mul(this GraphBuilder g, string a, float b) => b == 1 ? a : g.Op("Mul", a, g.Scalar(b));

    public static string Div(this GraphBuilder g, string a, string b) => g.Op("Div", a, b);

    public static string Neg(this GraphBuilder g, string a) => g.Op("Neg", a);

    public static string MatMul(this GraphBuilder g, string a, string b) => g.Op("MatMul", a, b);

    /// <summary>A product of two matrices, either of them transposed.</summary>
    public static string Gemm(this GraphBuilder g, string a, string b, bool transA = false, bool transB = false, float alpha = 1) =>
        g.Op("Gemm", [a, b], n =>
        {
            if (transA)
                n.Set("transA", 1);
            if (transB)
                n.Set("transB", 1);
            if (alpha != 1)
                n.Set("alpha", alpha);
        });

    /// <summary>The sum of any number of tensors of one shape, in the order given.</summary>
    public static string Sum(this GraphBuilder g, IReadOnlyList<string> terms) => terms.Count switch
    {
        1 => terms[0],
        2 => g.Add(terms[0], terms[1]),
        _ => g.Op("Sum", terms),
    };

    public static string Reshape(this GraphBuilder g, string x, params IReadOnlyList<long> shape) => g.Op("Reshape", x, g.Ints(shape));

    public static string Unsqueeze(this GraphBuilder g, string x, params IReadOnlyList<long> axes) => g.Op("Unsqueeze", x, g.Ints(axes));

    public static string Squeeze(this GraphBuilder g, string x, params IReadOnlyList<long> axes) => g.Op("Squeeze", x, g.Ints(axes));

    public static string Expand(this GraphBuilder g, string x, params IReadOnlyList<long> shape) => g.Op("Expand", x, g.Ints(shape));

    /// <summary>Transposes; an order of axes that changes nothing writes no node.</summary>
    public static string Transpose(this GraphBuilder g, string x, params IReadOnlyList<long> perm) =>
        perm.Select((p, i) => p == i).All(same => same) ? x : g.Op("Transpose", [x], n => n.Set("perm", [.. perm]));

    /// <summary>Exchanges the last two axes.</summary>
    public static string TransposeLast(this GraphBuilder g, string x, int rank)
    {
        long[] perm = [.. Enumerable.Range(0, rank).Select(i => (long)i)];
        (perm[rank - 1], perm[rank - 2]) = (perm[rank - 2], perm[rank - 1]);
        return g.Transpose(x, perm);
    }

    public static string ReduceSum(this GraphBuilder g, string x, IReadOnlyList<long> axes, bool keep = true) =>
        axes.Count == 0 ? x : g.Op("ReduceSum", [x, g.Ints(axes)], n => n.Set("keepdims", keep ? 1 : 0));

    public static string ReduceMean(this GraphBuilder g, string x, IReadOnlyList<long> axes, bool keep = true) =>
        axes.Count == 0 ? x : g.Op("ReduceMean", [x, g.Ints(axes)], n => n.Set("keepdims", keep ? 1 : 0));

    public static string Concat(this GraphBuilder g, IReadOnlyList<string> parts, long axis) =>
        parts.Count == 1 ? parts[0] : g.Op("Concat", parts, n => n.Set("axis", axis));

    public static string Slice(this GraphBuilder g, string x, IReadOnlyList<long> axes, IReadOnlyList<long> starts, IReadOnlyList<long> ends, IReadOnlyList<long>? steps = null) =>
        steps is null || steps.All(s => s == 1)
            ? g.Op("Slice", x, g.Ints(starts), g.Ints(ends), g.Ints(axes))
            : g.Op("Slice", x, g.Ints(starts), g.Ints(ends), g.Ints(axes), g.Ints(steps));

    /// <summary>Zeros before and behind each axis; negative numbers cut off. Writes no node where there is nothing to do.</summary>
    public static string Pad(this GraphBuilder g, string x, IReadOnlyList<long> begins, IReadOnlyList<long> ends) =>
        begins.Concat(ends).All(p => p == 0) ? x : g.Op("Pad", x, g.Ints([.. begins, .. ends]));

    /// <summary>Turns an axis around.</summary>
    public static string Reverse(this GraphBuilder g, string x, params IReadOnlyList<long> axes) =>
        g.Slice(x, axes, [.. axes.Select(_ => -1L)], [.. axes.Select(_ => (long)int.MinValue)], [.. axes.Select(_ => -1L)]);

    public static string[] Split(this GraphBuilder g, string x, IReadOnlyList<long> sizes, long axis) =>
        sizes.Count == 1 ? [x] : g.Op("Split", [x, g.Ints(sizes)], sizes.Count, n => n.Set("axis", axis));

    /// <summary>1 where a condition holds, else 0.</summary>
    public static string Mask(this GraphBuilder g, string condition) => g.Op("Cast", [condition], n => n.Set("to", (long)TensorProto.Types.DataType.Float));

    public static string Zeros(this GraphBuilder g, IReadOnlyList<long> shape) => g.Filled(shape, 0);

    /// <summary>Sums a tensor of shape <paramref name="from"/> over the axes along which one of shape <paramref name="to"/> was broadcast to it.</summary>
    public static string SumTo(this GraphBuilder g, string x, IReadOnlyList<long> from, IReadOnlyList<long> to)
    {
        if (from.SequenceEqual(to))
            return x;
        var added = from.Count - to.Count;
        var axes = Enumerable.Range(0, from.Count).Where(i => i < added || (to[i - added] == 1 && from[i] != 1)).Select(i => (long)i).ToList();
        return axes.Count == added
            ? g.ReduceSum(x, axes, keep: false)
            : added == 0 ? g.ReduceSum(x, axes) : g.Reshape(g.ReduceSum(x, axes), to);
    }
}
