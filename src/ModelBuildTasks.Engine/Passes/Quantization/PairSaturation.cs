using System.Numerics.Tensors;
using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.Quantization;

/// <summary>
/// Static analysis of saturation in int16. x64 processors without VNNI multiply unsigned activations with signed weights by
/// vpmaddubsw, which adds the products of neighbours along the reduction in int16 with saturation (Intel 64 and IA-32
/// Architectures Software Developer's Manual, PMADDUBSW): 255·127 + 255·127 does not fit. A pair is safe for every activation
/// when its codes of the same sign sum up to at most 32767 / 255 = 128.
/// </summary>
internal static class PairSaturation
{
    /// <summary>Greatest sum of two neighbouring codes of the same sign that cannot saturate.</summary>
    public const int GreatestSum = 128;

    // Two codes of at most 126 together stay within 128 however each of them is rounded, to the nearest or the other way.
    private const float Budget = GreatestSum - 2;

    /// <summary>The least scale of each output channel with which no pair of its weights can saturate.</summary>
    /// <param name="weight">Float weight, row-major.</param>
    /// <param name="layout">Where the weight is, and its shape.</param>
    public static float[] LeastScales(ReadOnlySpan<float> weight, NodeWeight layout)
    {
        var pairs = LargestPairs(weight, layout);
        TensorPrimitives.Divide(pairs, Budget, pairs);
        return pairs;
    }

    /// <summary>The same of a weight that is read block by block where its rows allow it.</summary>
    public static float[] LeastScales(OnnxModel model, NodeWeight layout, int threads)
    {
        var dims = layout.Tensor.Dims;
        if (layout.Node.OpType == "Conv" || layout.ChannelAxis != dims.Count - 1)
            return LeastScales(model.ReadFloats(layout.Tensor), layout);
        // [in, out]: neighbours are in rows one after the other.
        var channels = (int)layout.Channels;
        var largest = new float[channels];
        var merging = new Lock();
        FloatBlocks.ForEach(model, layout.Tensor, channels, threads, (values, lead, _, _) =>
        {
            var mine = new float[channels];
            if (lead == 0)
                RoundKernels.MaxMagnitude(values[..channels], mine);
            for (var at = channels; at < values.Length; at += channels)
                RoundKernels.MaxPair(values.Slice(at, channels), values.Slice(at - channels, channels), mine);
            lock (merging)
                TensorPrimitives.Max(largest, mine, largest);
        }, channels);
        TensorPrimitives.Divide(largest, Budget, largest);
        return largest;
    }

    /// <summary>
    /// The largest sum of magnitudes of two neighbours of the same sign in each output channel. Neighbours are taken in the order
    /// of the weight, and for a convolution also with channels within taps, since kernels pack either way, and at even and odd
    /// places alike.
    /// </summary>
    public static float[] LargestPairs(ReadOnlySpan<float> weight, NodeWeight layout)
    {
        var dims = layout.Tensor.Dims;
        var channels = (int)layout.Channels;
        var largest = new float[channels];
        var depth = weight.Length / Math.Max(channels, 1);
        if (layout.Node.OpType != "Conv")
        {
            // [in, out], or [out, in] for a transposed Gemm.
            var (along, across) = layout.ChannelAxis == 0 ? (1, depth) : (channels, 1);
            for (var c = 0; c < channels; c++)
                largest[c] = Largest(weight[(c * across)..], depth, along);
            return largest;
        }

        var inputs = (int)dims[1];
        var taps = depth / Math.Max(inputs, 1);
        var packed = new float[depth];
        for (var c = 0; c < channels; c++)
        {
            var row = weight.Slice(c * depth, depth);
            for (var i = 0; i < depth; i++)
                packed[i % taps * inputs + i / taps] = row[i];
            largest[c] = Math.Max(Largest(row, depth, 1), Largest(packed, depth, 1));
        }

        return largest;
    }

    /// <summary>
    /// Codes rounded by data, which may be more than a step away from the weight, in the channels where no pair can saturate, and
    /// in the others the codes rounded to nearest.
    /// </summary>
    /// <param name="rounded">Codes rounded by data.</param>
    /// <param name="nearest">Codes rounded to nearest at scales of at least LeastScales.</param>
    /// <param name="layout">Where the weight is, and its shape.</param>
    public static QuantizedWeight Safe(QuantizedWeight rounded, QuantizedWeight nearest, NodeWeight layout)
    {
        var pairs = LargestPairs([.. rounded.Values.Select(v => (float)v)], layout);
        if (!pairs.Any(p => p > GreatestSum))
            return rounded;
        var codes = (sbyte[])rounded.Values.Clone();
        for (var i = 0; i < codes.Length; i++)
        {
            if (pairs[i / layout.Inner % layout.Channels] > GreatestSum)
                codes[i] = nearest.Values[i];
        }

        return rounded with { Values = codes };
    }

    private static float Largest(ReadOnlySpan<float> values, int count, int stride)
    {
        float largest = 0, before = 0;
        for (var i = 0; i < count; i++)
        {
            var value = values[i * stride];
            largest = Math.Max(largest, Math.Max(Math.Max(value, 0) + Math.Max(before, 0), Math.Max(-value, 0) + Math.Max(-before, 0)));
            before = value;
        }

        return largest;
    }
}
