using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Autodiff.Rules;

/// <summary>The windows of a convolution or a pooling: kernel, strides, dilations and the pads that they come to.</summary>
internal sealed record Windows(long[] Kernel, long[] Strides, long[] Dilations, long[] Begins, long[] Ends)
{
    public int Rank => Kernel.Length;

    /// <summary>The windows of a node whose input has the spatial dimensions <paramref name="input"/> and whose output those of <paramref name="output"/>.</summary>
    public static Windows Of(NodeProto node, long[] kernel, long[] input, long[] output)
    {
        var rank = kernel.Length;
        var strides = node.Ints("strides") ?? [.. Enumerable.Repeat(1L, rank)];
        var dilations = node.Ints("dilations") ?? [.. Enumerable.Repeat(1L, rank)];
        var pads = node.Ints("pads") ?? new long[2 * rank];
        var mode = node.String("auto_pad", "NOTSET");
        var (begins, ends) = (pads[..rank], pads[rank..]);
        if (mode is "SAME_UPPER" or "SAME_LOWER" or "VALID")
        {
            for (var i = 0; i < rank; i++)
            {
                var all = mode == "VALID" ? 0 : Math.Max(0, ((output[i] - 1) * strides[i]) + ((kernel[i] - 1) * dilations[i]) + 1 - input[i]);
                begins[i] = mode == "SAME_UPPER" ? all / 2 : (all + 1) / 2;
                ends[i] = all - begins[i];
            }
        }

        return new(kernel, strides, dilations, begins, ends);
    }

    /// <summary>Pads at both ends so that the windows from <paramref name="input"/> values give exactly <paramref name="output"/>; the last may be negative or, with ceil_mode, larger than asked for.</summary>
    public long[] ExactEnds(long[] input, long[] output) =>
        [.. Kernel.Select((k, i) => ((output[i] - 1) * Strides[i]) + ((k - 1) * Dilations[i]) + 1 - Begins[i] - input[i])];

    /// <summary>
    /// The transposed convolution that takes gradients of windows back to <paramref name="input"/> values. Values behind the last window
    /// get zeros.
    /// </summary>
    public string Transposed(GraphBuilder b, string g, string weight, long group, long[] input, long[] output)
    {
        var ends = ExactEnds(input, output);
        // What the strides leave over behind the last window is less than a stride and can be asked for as output padding.
        long[] more = [.. ends.Select(e => Math.Max(0, -e))];
        var fits = more.Select((m, i) => m < Strides[i]).All(f => f);
        var result = b.Op("ConvTranspose", [g, weight], n =>
        {
            Write(n, [.. ends.Select(e => Math.Max(0, e))]);
            n.Set("group", group);
            if (fits && more.Any(m => m > 0))
                n.Set("output_padding", more);
        });
        return fits ? result : b.Pad(result, new long[Rank + 2], [0, 0, .. more]);
    }

    /// <summary>Sets the attributes of these windows.</summary>
    public void Write(NodeProto node, long[] ends) =>
        node.Set("kernel_shape", Kernel).Set("strides", Strides).Set("dilations", Dilations).Set("pads", [.. Begins, .. ends]);
}
