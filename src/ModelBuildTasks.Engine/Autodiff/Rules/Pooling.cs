using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Autodiff.Rules;

/// <summary>Pooling: means go back evenly, maxima go back to the place they came from.</summary>
internal static class Pooling
{
    public static IEnumerable<KeyValuePair<string, OperatorRule>> Rules =>
    [
        new("MaxPool", new(MaxPool) { Limit = (g, n) => n.Int("storage_order") != 0 ? "MaxPool in column-major order" : Lowering.CeilWindows.Limit(g, n) }),
        new("AveragePool", new(AveragePool) { Limit = Lowering.CeilWindows.Limit }),
        new("GlobalAveragePool", new(GlobalAverage)),
        new("GlobalMaxPool", new(GlobalMax)),
    ];

    private static void MaxPool(Backward backward, NodeProto node)
    {
        var b = backward.Build;
        var (x, y) = (backward.Shape(node.Input[0]), backward.Shape(node.Output[0]));
        // The forward node says where each maximum was: its place in the flat input. Windows overlap, so that places add up.
        if (node.Output.Count < 2)
            node.Output.Add(b.Name("indices"));
        else if (node.Output[1].Length == 0)
            node.Output[1] = b.Name("indices");
        var (count, size) = (ElementTypes.Count(y), ElementTypes.Count(x));
        var flat = b.Op("ScatterElements", [b.Zeros([size]), b.Reshape(node.Output[1], count), b.Reshape(backward.Of(node), count)], n => n.Set("axis", 0).Set("reduction", "add"));
        backward.Give(node, 0, b.Reshape(flat, x));
    }

    private static void AveragePool(Backward backward, NodeProto node)
    {
        var b = backward.Build;
        var (x, y) = (backward.Shape(node.Input[0]), backward.Shape(node.Output[0]));
        var windows = Windows.Of(node, node.Ints("kernel_shape")!, x[2..], y[2..]);
        var shares = Shares(windows, node.Int("count_include_pad") != 0, x[2..], y[2..]);
        var g = backward.Of(node);
        // Where pads do not count, windows at the border divide by less.
        if (shares.All(s => s == shares[0]))
            g = b.Mul(g, shares[0]);
        else
            g = b.Mul(g, b.Floats([1, 1, .. y[2..]], shares));
        var ones = b.Floats([x[1], 1, .. windows.Kernel], [.. Enumerable.Repeat(1f, (int)(x[1] * ElementTypes.Count(windows.Kernel)))]);
        backward.Give(node, 0, windows.Transposed(b, g, ones, x[1], x[2..], y[2..]));
    }

    /// <summary>One over the number of values that each window's mean is taken of.</summary>
    private static float[] Shares(Windows windows, bool countPads, long[] x, long[] y)
    {
        var shares = new float[ElementTypes.Count(y)];
        for (var place = 0; place < shares.Length; place++)
        {
            var (count, rest) = (1L, (long)place);
            for (var i = y.Length - 1; i >= 0; i--)
            {
                var first = (rest % y[i] * windows.Strides[i]) - windows.Begins[i];
                var (low, high) = countPads ? (-windows.Begins[i], x[i] + windows.Ends[i]) : (0, x[i]);
                count *= Enumerable.Range(0, (int)windows.Kernel[i]).Count(k => first + (k * windows.Dilations[i]) is var at && at >= low && at < high);
                rest /= y[i];
            }

            shares[place] = 1f / Math.Max(1, count);
        }

        return shares;
    }

    private static void GlobalAverage(Backward backward, NodeProto node)
    {
        var x = backward.Shape(node.Input[0]);
        backward.Give(node, 0, backward.Build.Expand(backward.Build.Mul(backward.Of(node), 1f / ElementTypes.Count(x[2..])), x));
    }

    private static void GlobalMax(Backward backward, NodeProto node)
    {
        var b = backward.Build;
        var x = backward.Shape(node.Input[0]);
        var mask = b.Mask(b.Op("Equal", node.Input[0], node.Output[0]));
        var count = b.ReduceSum(mask, [.. Enumerable.Range(2, x.Length - 2).Select(i => (long)i)]);
        backward.Give(node, 0, b.Mul(mask, b.Div(backward.Of(node), count)));
    }
}
