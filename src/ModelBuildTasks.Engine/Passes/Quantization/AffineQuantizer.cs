using System.Numerics.Tensors;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Statistics;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.Quantization;

/// <summary>Scale and zero point of a tensor: x ≈ scale · (q − zeroPoint).</summary>
internal readonly record struct AffineParameters(float Scale, int ZeroPoint)
{
    /// <summary>Type of the codes.</summary>
    public DataType Type { get; init; } = DataType.Uint8;
}

/// <summary>Weights in signed 8 bits: symmetric, so that zero stays zero and no zero point enters the arithmetic.</summary>
/// <param name="Values">The codes in the layout of the weight.</param>
/// <param name="Scales">One scale, or one a channel.</param>
internal sealed record QuantizedWeight(sbyte[] Values, float[] Scales);

/// <summary>Affine quantization as ONNX QuantizeLinear defines it: q = clamp(round_half_even(x / scale) + zero_point).</summary>
internal static class AffineQuantizer
{
    /// <summary>Largest code of a symmetric weight; −128 is not used, so that both signs reach equally far.</summary>
    public const int WeightMax = 127;

    // Scales below this would be denormal in the runtimes that flush such numbers to zero.
    private const float SmallestScale = 1.17549435e-38f;

    /// <summary>Unsigned 8-bit parameters for a range with zero in it.</summary>
    public static AffineParameters Unsigned8(ValueRange range) => Parameters(range, ActivationFormat.Unsigned8);

    /// <summary>Parameters of a format for a range with zero in it; of a symmetric format for the farther end on both sides.</summary>
    public static AffineParameters Parameters(ValueRange range, ActivationFormat format)
    {
        var scale = (float)(format.Symmetric
            ? Math.Max(-range.Min, range.Max) / format.Greatest
            : (range.Max - range.Min) / (format.Greatest - format.Least));
        if (!(scale >= SmallestScale))
            return new AffineParameters(1, format.Symmetric ? 0 : format.Least) { Type = format.Type };
        var zeroPoint = format.Symmetric ? 0 : (int)Math.Clamp(Math.Round(format.Least - range.Min / scale), format.Least, format.Greatest);
        return new AffineParameters(scale, zeroPoint) { Type = format.Type };
    }

    /// <summary>Parameters of a range that a runtime fixes: scale = (max − min) / 2^bits, so that it is a power of two.</summary>
    public static AffineParameters FixedParameters(ValueRange range, ActivationFormat format)
    {
        var scale = (float)((range.Max - range.Min) / (1 << format.Bits));
        return new AffineParameters(scale, (int)Math.Round(format.Least - range.Min / scale)) { Type = format.Type };
    }

    /// <summary>Codes of float values in the type of the parameters.</summary>
    public static int[] Codes(ReadOnlySpan<float> values, AffineParameters parameters)
    {
        var format = new ActivationFormat(parameters.Type, Symmetric: false);
        var codes = new int[values.Length];
        for (var i = 0; i < values.Length; i++)
            codes[i] = (int)Math.Clamp(MathF.Round(values[i] / parameters.Scale) + parameters.ZeroPoint, format.Least, format.Greatest);
        return codes;
    }

    /// <summary>Codes of float values in unsigned 8 bits.</summary>
    public static byte[] Quantize(ReadOnlySpan<float> values, AffineParameters parameters)
    {
        var codes = new byte[values.Length];
        for (var i = 0; i < values.Length; i++)
            codes[i] = (byte)Math.Clamp(MathF.Round(values[i] / parameters.Scale) + parameters.ZeroPoint, 0, 255);
        return codes;
    }

    /// <summary>The next scale that <see cref="QuantizeWeight"/> finds again from its largest multiple: (127·s)/127 may be a neighbour of s.</summary>
    public static float FoundAgain(float scale)
    {
        for (var next = WeightMax * scale / WeightMax; next != scale; next = WeightMax * scale / WeightMax)
            scale = next;
        return scale;
    }

    /// <summary>
    /// Quantizes a weight symmetrically with one scale for each index of an axis: scale = max|w| / 127.
    /// </summary>
    /// <param name="weight">Values, row-major.</param>
    /// <param name="outer">Product of the dimensions before the axis.</param>
    /// <param name="channels">Length of the axis; 1 for one scale for the tensor.</param>
    /// <param name="inner">Product of the dimensions behind the axis.</param>
    /// <param name="leastScale">A lower bound for each channel's scale, or empty.</param>
    public static QuantizedWeight QuantizeWeight(ReadOnlySpan<float> weight, long outer, long channels, long inner, ReadOnlySpan<float> leastScale)
    {
        var scales = new float[channels];
        for (long o = 0; o < outer; o++)
        {
            for (long c = 0; c < channels; c++)
            {
                var row = weight.Slice((int)((o * channels + c) * inner), (int)inner);
                if (!row.IsEmpty)
                    scales[c] = Math.Max(scales[c], Math.Abs(TensorPrimitives.MaxMagnitude(row)));
            }
        }

        scales = Scales(scales, leastScale);
        var codes = new sbyte[weight.Length];
        for (long o = 0; o < outer; o++)
        {
            for (long c = 0; c < channels; c++)
            {
                var start = (int)((o * channels + c) * inner);
                var scale = scales[c];
                for (var i = start; i < start + (int)inner; i++)
                    codes[i] = (sbyte)Math.Clamp(MathF.Round(weight[i] / scale), -WeightMax, WeightMax);
            }
        }

        return new QuantizedWeight(codes, scales);
    }

    /// <summary>The scale of each channel of a largest magnitude, in its place.</summary>
    /// <param name="largest">max|w| of each channel.</param>
    /// <param name="leastScale">A lower bound for each channel's scale, or empty.</param>
    public static float[] Scales(float[] largest, ReadOnlySpan<float> leastScale)
    {
        for (var c = 0; c < largest.Length; c++)
        {
            largest[c] /= WeightMax;
            if (!leastScale.IsEmpty)
                largest[c] = Math.Max(largest[c], leastScale[c]);
            // A channel of zeros: any scale will do.
            if (!(largest[c] >= SmallestScale))
                largest[c] = 1;
        }

        return largest;
    }

    /// <summary>
    /// The least weight scale of each channel with which a bias fits into int32 at scale_x·scale_w, with a factor of two to spare
    /// for the accumulator. Channels of nearly no weight and a large bias would overflow without it.
    /// </summary>
    public static float[] LeastScaleForBias(ReadOnlySpan<float> bias, float inputScale)
    {
        var least = new float[bias.Length];
        for (var c = 0; c < bias.Length; c++)
            least[c] = (float)(Math.Abs((double)bias[c]) / (inputScale * (double)(1 << 30)));
        return least;
    }

    /// <summary>A bias as int32 at scale_x·scale_w.</summary>
    public static int[] QuantizeBias(ReadOnlySpan<float> bias, float inputScale, ReadOnlySpan<float> weightScales)
    {
        var codes = new int[bias.Length];
        for (var c = 0; c < bias.Length; c++)
        {
            var scale = (double)(inputScale * weightScales[weightScales.Length == 1 ? 0 : c]);
            codes[c] = (int)Math.Clamp(Math.Round(bias[c] / scale), int.MinValue, int.MaxValue);
        }

        return codes;
    }

    /// <summary>10·log10(Σw²/Σ(w − ŵ)²) in dB, at most 200.</summary>
    public static double Sqnr(ReadOnlySpan<float> weight, QuantizedWeight quantized, long channels, long inner)
    {
        double signal = 0, noise = 0;
        for (var i = 0; i < weight.Length; i++)
        {
            var error = weight[i] - (double)quantized.Scales[channels == 1 ? 0 : i / inner % channels] * quantized.Values[i];
            signal += (double)weight[i] * weight[i];
            noise += error * error;
        }

        return Decibels(signal, noise);
    }

    /// <summary>10·log10(signal/noise), at most 200.</summary>
    public static double Decibels(double signal, double noise) => noise == 0 ? 200 : signal == 0 ? 0 : Math.Min(200, 10 * Math.Log10(signal / noise));
}
