using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Autodiff.Rules;

/// <summary>
/// Convolutions and their transposes, of any rank. The input's gradient is the other of the two with the same weight; the weight's gradient is
/// in <see cref="KernelGradient"/>.
/// </summary>
internal static class Convolutions
{
    public static IEnumerable<KeyValuePair<string, OperatorRule>> Rules =>
    [
        new("Conv", new(Conv)),
        new("ConvTranspose", new(ConvTranspose)),
    ];

    private static void Conv(Backward backward, NodeProto node)
    {
        var (b, g) = (backward.Build, backward.Of(node));
        var (x, w, y) = (backward.Shape(node.Input[0]), backward.Shape(node.Input[1]), backward.Shape(node.Output[0]));
        var windows = Windows.Of(node, w[2..], x[2..], y[2..]);
        var group = node.Int("group", 1);
        if (backward.Wants(node, 0))
            backward.Give(node, 0, windows.Transposed(b, g, node.Input[1], group, x[2..], y[2..]));
        if (backward.Wants(node, 1))
            backward.Give(node, 1, KernelGradient.Write(b, windows, group, node.Input[0], x, g, y));
        Bias(backward, node, g, y.Length);
    }

    private static void ConvTranspose(Backward backward, NodeProto node)
    {
        var (b, g) = (backward.Build, backward.Of(node));
        var (x, w, y) = (backward.Shape(node.Input[0]), backward.Shape(node.Input[1]), backward.Shape(node.Output[0]));
        var windows = Windows.Of(node, w[2..], y[2..], x[2..]);
        windows = Fitted(windows, node, x[2..], y[2..]);
        var group = node.Int("group", 1);
        // Seen from behind, the output is what a convolution reads and the input is what it gives.
        if (backward.Wants(node, 0))
        {
            var ends = windows.ExactEnds(y[2..], x[2..]);
            var source = b.Pad(g, new long[y.Length], [0, 0, .. ends.Select(e => Math.Min(0, e))]);
            backward.Give(node, 0, b.Op("Conv", [source, node.Input[1]], n =>
            {
                windows.Write(n, [.. ends.Select(e => Math.Max(0, e))]);
                n.Set("group", group);
            }));
        }

        if (backward.Wants(node, 1))
            backward.Give(node, 1, KernelGradient.Write(b, windows, group, g, y, node.Input[0], x));
        Bias(backward, node, g, y.Length);
    }

    /// <summary>With an output shape that is given, or a mode of automatic pads, the pads follow from the shapes.</summary>
    private static Windows Fitted(Windows windows, NodeProto node, long[] x, long[] y)
    {
        if (node.Ints("output_shape") is null && node.String("auto_pad", "NOTSET") is "NOTSET" or "VALID" && node.Ints("output_shape") is null)
            return windows;
        var more = node.Ints("output_padding") ?? new long[windows.Rank];
        // Of an odd number, the larger half is at the head but for SAME_UPPER.
        var upper = node.String("auto_pad", "NOTSET") == "SAME_UPPER";
        var begins = new long[windows.Rank];
        for (var i = 0; i < begins.Length; i++)
        {
            var all = Math.Max(0, (windows.Strides[i] * (x[i] - 1)) + more[i] + ((windows.Kernel[i] - 1) * windows.Dilations[i]) + 1 - y[i]);
            begins[i] = upper ? all / 2 : all - (all / 2);
        }

        return windows with { Begins = begins };
    }

    private static void Bias(Backward backward, NodeProto node, string g, int rank)
    {
        if (backward.Wants(node, 2))
            backward.Give(node, 2, backward.Build.ReduceSum(g, [0, .. Enumerable.Range(2, rank - 2).Select(i => (long)i)], keep: false));
    }
}
