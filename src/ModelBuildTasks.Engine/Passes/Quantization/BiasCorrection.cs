using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.Quantization;

/// <summary>
/// Bias correction (Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", section 4.2, with
/// the means from calibration data): rounding a channel's weights shifts its output by (W − Ŵ)·E[x] on average, which the bias
/// takes back. Padding is not accounted for.
/// </summary>
internal static class BiasCorrection
{
    /// <summary>The bias with the mean error of the quantized weight added.</summary>
    /// <param name="bias">One value an output channel.</param>
    /// <param name="weight">Float weight, row-major.</param>
    /// <param name="quantized">The same weight in 8 bits.</param>
    /// <param name="layout">Where the weight is, and its shape.</param>
    /// <param name="means">The mean of each input channel; when it does not fit the weight, the bias stays as it is.</param>
    public static float[] Correct(float[] bias, ReadOnlySpan<float> weight, QuantizedWeight quantized, NodeWeight layout, double[] means)
    {
        var shift = MeanError(weight, quantized, layout, means);
        return shift is null ? bias : [.. bias.Zip(shift, (b, s) => (float)(b + s))];
    }

    private static double[]? MeanError(ReadOnlySpan<float> weight, QuantizedWeight quantized, NodeWeight layout, double[] means)
    {
        var dims = layout.Tensor.Dims;
        if (layout.Node.OpType == "Conv")
        {
            // [out, in/group, taps...]: output channel o reads the input channels of its group.
            var (outputs, perGroup) = ((int)dims[0], (int)dims[1]);
            var groups = (int)layout.Node.Int("group", 1);
            if (means.Length != perGroup * groups || outputs % groups != 0)
                return null;
            var taps = weight.Length / outputs / perGroup;
            var shift = new double[outputs];
            for (var i = 0; i < weight.Length; i++)
            {
                var output = i / (perGroup * taps);
                var input = output / (outputs / groups) * perGroup + i / taps % perGroup;
                shift[output] += Error(weight, quantized, i, output) * means[input];
            }

            return shift;
        }

        // A product: [in, out], or [out, in] for a transposed Gemm.
        var transposed = layout.ChannelAxis == 0;
        var (rows, columns) = ((int)dims[0], (int)dims[1]);
        var (ins, outs) = transposed ? (columns, rows) : (rows, columns);
        if (means.Length != ins)
            return null;
        var result = new double[outs];
        for (var i = 0; i < weight.Length; i++)
        {
            var (row, column) = (i / columns, i % columns);
            var (input, output) = transposed ? (column, row) : (row, column);
            result[output] += Error(weight, quantized, i, output) * means[input];
        }

        return result;
    }

    private static double Error(ReadOnlySpan<float> weight, QuantizedWeight quantized, int index, int channel) =>
        weight[index] - (double)quantized.Scales[quantized.Scales.Length == 1 ? 0 : channel] * quantized.Values[index];
}
