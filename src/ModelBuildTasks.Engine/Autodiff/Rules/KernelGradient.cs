using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Autodiff.Rules;

/// <summary>
/// The gradient of a convolution's weight: for each place of the kernel, the values it was multiplied with against the gradients of what came
/// of it. Several forms, chosen by shape alone; which is faster where was measured (docs/architecture.md).
/// </summary>
internal static class KernelGradient
{
    // From here on a slice for each place costs more than a convolution with a kernel as large as the output.
    private const int ManyPlaces = 32;

    // Values of the input, each as often as the kernel has places: 64 MiB.
    private const long LargestMatrix = 16 << 20;

    /// <summary>Writes it for a convolution that reads <paramref name="x"/> and whose output has the gradient <paramref name="g"/>.</summary>
    /// <returns>A tensor of shape [outputs, inputs / group, kernel...].</returns>
    public static string Write(GraphBuilder b, Windows windows, long group, string x, long[] xShape, string g, long[] gShape)
    {
        var taps = new Taps(windows, xShape, gShape);
        var (inputs, outputs) = (xShape[1] / group, gShape[1] / group);
        if (taps.IsPointwise && group == 1)
            return Pointwise(b, taps.Padded(b, x), xShape, g, gShape, windows);
        // Channels are the samples of that convolution: of one alone the sums would depend on the number of threads, see ConvolutionOrder.
        if (group == 1 && inputs > 1 && ElementTypes.Count(windows.Kernel) > ManyPlaces)
            return Swapped(b, windows, taps, x, xShape, g, gShape);
        if (inputs == 1 && outputs == 1)
            return Depthwise(b, windows, taps, taps.Padded(b, x), g, gShape);
        return Grouped(b, windows, taps, group, x, xShape, g, gShape);
    }

    /// <summary>A kernel of one value: one product a sample, and their sum.</summary>
    private static string Pointwise(GraphBuilder b, string x, long[] xShape, string g, long[] gShape, Windows windows)
    {
        var count = ElementTypes.Count(gShape[2..]);
        var rows = windows.Strides.All(s => s == 1) ? x
            : b.Slice(x, [.. Enumerable.Range(2, windows.Rank).Select(i => (long)i)], new long[windows.Rank], [.. gShape[2..].Select((d, i) => ((d - 1) * windows.Strides[i]) + 1)], windows.Strides);
        var product = b.MatMul(b.Reshape(g, gShape[0], gShape[1], count), b.TransposeLast(b.Reshape(rows, xShape[0], xShape[1], count), 3));
        return b.Reshape(b.ReduceSum(product, [0], keep: false), [gShape[1], xShape[1], .. windows.Kernel]);
    }

    /// <summary>
    /// A convolution of the input with the gradients as its kernel, samples in the place of channels: strides become dilations and the other way
    /// round, and what comes out has the kernel's size.
    /// </summary>
    private static string Swapped(GraphBuilder b, Windows windows, Taps taps, string x, long[] xShape, string g, long[] gShape)
    {
        long[] swap = [1, 0, .. Enumerable.Range(2, windows.Rank).Select(i => (long)i)];
        var source = taps.Padded(b, b.Transpose(x, swap));
        var turned = windows with { Kernel = gShape[2..], Strides = windows.Dilations, Dilations = windows.Strides, Begins = new long[windows.Rank] };
        var result = b.Op("Conv", [source, b.Transpose(g, swap)], n => turned.Write(n, new long[windows.Rank]));
        return b.Transpose(result, swap);
    }

    /// <summary>One input and one output a group: too little for a matrix product, so each place is multiplied and summed.</summary>
    private static string Depthwise(GraphBuilder b, Windows windows, Taps taps, string padded, string g, long[] gShape)
    {
        long[] flat = [gShape[0], gShape[1], ElementTypes.Count(gShape[2..])];
        var flatG = b.Reshape(g, flat);
        var sums = taps.All(b, padded, 2).Select(t => b.ReduceSum(b.Mul(b.Reshape(t, flat), flatG), [2])).ToList();
        var sum = b.ReduceSum(b.Concat(sums, 2), [0], keep: false);
        return b.Reshape(sum, [gShape[1], 1, .. windows.Kernel]);
    }

    /// <summary>All places of the kernel side by side in one matrix with all samples' positions as its rows: one product a group.</summary>
    private static string Grouped(GraphBuilder b, Windows windows, Taps taps, long group, string x, long[] xShape, string g, long[] gShape)
    {
        var rank = windows.Rank;
        var positions = gShape[0] * ElementTypes.Count(gShape[2..]);
        var places = ElementTypes.Count(windows.Kernel);
        var (inputs, outputs) = (xShape[1] / group, gShape[1] / group);
        long[] swap = [1, 0, .. Enumerable.Range(2, rank).Select(i => (long)i)];
        var source = taps.Padded(b, b.Transpose(x, swap));
        var columns = taps.All(b, source, 2);
        var gradient = b.Transpose(g, swap);
        if (group == 1 && places * inputs * positions > LargestMatrix)
        {
            // A product for each place: slower than one for all, but without a copy of the input for each place at once.
            var one = b.Reshape(gradient, outputs, positions);
            var products = columns.Select(c => Rows(b, one, outputs, b.Reshape(c, inputs, positions), inputs, 1)).ToList();
            return b.Reshape(b.Concat(products, 2), [outputs, inputs, .. windows.Kernel]);
        }

        if (group == 1)
        {
            var matrix = b.Reshape(b.Concat(columns, 0), places * inputs, positions);
            var product = Rows(b, b.Reshape(gradient, outputs, positions), outputs, matrix, places, inputs);
            return b.Reshape(b.Transpose(product, 0, 2, 1), [outputs, inputs, .. windows.Kernel]);
        }

        var parts = b.Concat([.. columns.Select(c => b.Reshape(c, group, 1, inputs, positions))], 1);
        var each = b.MatMul(b.Reshape(gradient, group, outputs, positions), b.TransposeLast(b.Reshape(parts, group, places * inputs, positions), 3));
        return b.Reshape(b.Transpose(b.Reshape(each, group * outputs, places, inputs), 0, 2, 1), [group * outputs, inputs, .. windows.Kernel]);
    }

    /// <summary>
    /// a·cᵀ, [m, n0, n1], of long rows. ONNX Runtime gives threads parts of the longer side of a product, and how it cuts the sums depends on how many
    /// columns a thread has: with the longer side as rows the sums are the same on any number of threads. A transposition of two axes would be fused
    /// into the product, which would turn it back; that of three is not.
    /// </summary>
    private static string Rows(GraphBuilder b, string a, long m, string c, long n0, long n1) => n0 * n1 > m
        ? b.Transpose(b.Reshape(b.Gemm(c, a, transB: true), n0, n1, m), 2, 0, 1)
        : b.Reshape(b.Gemm(a, c, transB: true), m, n0, n1);
}
