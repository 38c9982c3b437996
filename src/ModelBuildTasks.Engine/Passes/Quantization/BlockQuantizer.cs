using System.Numerics.Tensors;
using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.Quantization;

/// <summary>
/// <see cref="AffineQuantizer.QuantizeWeight"/> for a weight of any size: it is read twice, block by block, once for the scales and once for the
/// codes and their error. Codes and scales are those of the whole weight at once.
/// </summary>
/// <param name="model">The model.</param>
/// <param name="tensor">The weight.</param>
/// <param name="channels">Length of the axis that has a scale for each index; 1 for one scale for the tensor.</param>
/// <param name="inner">Product of the dimensions behind the axis.</param>
/// <param name="threads">Threads to use; the result does not depend on it.</param>
internal sealed class BlockQuantizer(OnnxModel model, TensorProto tensor, long channels, long inner, int threads)
{
    private readonly long _count = ElementTypes.Count(tensor.Dims);

    // Where the axis is the last one, a block is made of whole rows of channels, else of whole runs of one channel where they fit.
    private readonly long _unit = inner == 1 ? channels : inner <= int.MaxValue / 8 && channels > 1 ? inner : 1;

    /// <summary>Codes and scales, and their signal-to-noise ratio in dB.</summary>
    /// <param name="leastScale">A lower bound for each channel's scale, or empty.</param>
    public (QuantizedWeight Quantized, double Sqnr) Quantize(ReadOnlySpan<float> leastScale)
    {
        var scales = AffineQuantizer.Scales(LargestMagnitudes(), leastScale);
        var codes = GC.AllocateUninitializedArray<sbyte>(TooLarge.Checked(_count, tensor));
        var blocks = FloatBlocks.Count(_count, _unit);
        var (signal, noise) = (new double[blocks], new double[blocks]);
        FloatBlocks.ForEach(model, tensor, _unit, threads, (values, _, first, block) =>
        {
            var into = codes.AsSpan((int)first, values.Length);
            if (inner == 1)
            {
                for (var at = 0; at < values.Length; at += scales.Length)
                    Add(RoundKernels.Round(values.Slice(at, scales.Length), scales, into.Slice(at, scales.Length)), ref signal[block], ref noise[block]);
                return;
            }

            foreach (var (at, length, channel) in Runs(first, values.Length))
                Add(RoundKernels.Round(values.Slice(at, length), scales[channel], into.Slice(at, length)), ref signal[block], ref noise[block]);
        });
        return (new(codes, scales), AffineQuantizer.Decibels(signal.Sum(), noise.Sum()));
    }

    /// <summary>max|w| of each channel.</summary>
    private float[] LargestMagnitudes()
    {
        var largest = new float[channels];
        var merging = new Lock();
        FloatBlocks.ForEach(model, tensor, _unit, threads, (values, _, first, _) =>
        {
            if (inner == 1)
            {
                var mine = new float[channels];
                for (var at = 0; at < values.Length; at += mine.Length)
                    RoundKernels.MaxMagnitude(values.Slice(at, mine.Length), mine);
                lock (merging)
                    TensorPrimitives.Max(largest, mine, largest);
                return;
            }

            foreach (var (at, length, channel) in Runs(first, values.Length))
            {
                var value = Math.Abs(TensorPrimitives.MaxMagnitude(values.Slice(at, length)));
                // The largest is the same in whatever order it is found.
                lock (merging)
                    largest[channel] = Math.Max(largest[channel], value);
            }
        });
        return largest;
    }

    /// <summary>The parts of a block that belong to one channel each.</summary>
    private IEnumerable<(int At, int Length, int Channel)> Runs(long first, int count)
    {
        for (var at = 0; at < count;)
        {
            var (row, column) = Math.DivRem(first + at, inner);
            var length = (int)Math.Min(inner - column, count - at);
            yield return (at, length, (int)(row % channels));
            at += length;
        }
    }

    private static void Add((float Signal, float Noise) part, ref double signal, ref double noise) => (signal, noise) = (signal + part.Signal, noise + part.Noise);
}
