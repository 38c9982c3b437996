using System.Buffers;
using System.Globalization;
using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.HalfPrecision;

/// <summary>
/// What rounding to float16 does to a tensor. Rounding of normal numbers leaves about 75 dB; less means values below 6·10⁻⁵, whose steps are
/// 6·10⁻⁸ however small they are. They do not matter beside large ones of the same tensor, and matter where a whole tensor, or a slice of its
/// first axis that has a part in the sum, is made of them: an epsilon, variances, a channel.
/// </summary>
/// <param name="Sqnr">Signal-to-noise ratio of the tensor in dB, at most 200; infinities and NaN are left out.</param>
/// <param name="Refusal">Why it cannot be float16; null where it can.</param>
internal sealed record HalfLoss(double Sqnr, string? Refusal)
{
    /// <summary>Whether finite values are beyond float16's range.</summary>
    public bool IsBeyond { get; init; }

    /// <summary>What a tensor has at least, in dB.</summary>
    public const double LeastSqnr = 60;

    /// <summary>What a slice has at least that matters, in dB: one percent.</summary>
    public const double LeastSliceSqnr = 40;

    // A slice matters whose root mean square is a thousandth of the tensor's.
    private const double Matters = 1e-6;

    private const int Elements = 1 << 14;

    /// <summary>Streams a float32 payload once.</summary>
    /// <param name="source">The values.</param>
    /// <param name="dims">The tensor's shape.</param>
    public static HalfLoss Of(Payload source, IReadOnlyList<long> dims)
    {
        var count = source.Length / sizeof(float);
        if (count == 0)
            return new(200, null);
        var rows = dims.Count == 0 || dims[0] > 1 << 20 ? 1 : dims[0];
        var work = new Rows(count / rows, rows);
        var buffer = ArrayPool<byte>.Shared.Rent(Elements * sizeof(float));
        try
        {
            for (long at = 0; at < count; at += Elements)
            {
                var part = buffer.AsSpan(0, (int)Math.Min(Elements, count - at) * sizeof(float));
                source.Read(at * sizeof(float), part);
                work.Add(at, MemoryMarshal.Cast<byte, float>(part));
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }

        return work.Judge(count);
    }

    /// <summary>Sums of squares of values and of their rounding, a slice each.</summary>
    private sealed class Rows(long length, long rows)
    {
        private readonly double[] _signal = new double[rows];
        private readonly double[] _noise = new double[rows];
        private long _beyond;

        public void Add(long at, Span<float> values)
        {
            for (var i = 0; i < values.Length;)
            {
                var row = (at + i) / length;
                var end = (int)Math.Min(values.Length, (row + 1) * length - at);
                var (signal, noise, largest) = HalfKernels.Loss(values[i..end]);
                if (!(largest < HalfConversion.Overflow))
                {
                    Blank(values[i..end]);
                    (signal, noise, _) = HalfKernels.Loss(values[i..end]);
                }

                _signal[row] += signal;
                _noise[row] += noise;
                i = end;
            }
        }

        // What is not finite is left out; what is beyond the range decides alone.
        private void Blank(Span<float> values)
        {
            foreach (ref var value in values)
            {
                var beyond = Math.Abs(value) >= HalfConversion.Overflow;
                _beyond += float.IsFinite(value) && beyond ? 1 : 0;
                value = float.IsFinite(value) && !beyond ? value : 0;
            }
        }

        public HalfLoss Judge(long count)
        {
            if (_beyond > 0)
                return new(0, $"{(_beyond == 1 ? "a value is" : $"{_beyond} values are")} beyond float16's range of ±65504") { IsBeyond = true };
            var (signal, noise) = (TensorPrimitives.Sum<double>(_signal), TensorPrimitives.Sum<double>(_noise));
            var sqnr = Decibel(signal, noise);
            if (sqnr < LeastSqnr)
                return new(sqnr, string.Create(CultureInfo.InvariantCulture, $"its values are so small that float16 leaves {sqnr:0} dB of them"));
            var lost = 0;
            for (var row = 0; row < _signal.Length; row++)
            {
                if (_signal[row] >= signal / rows * Matters && Decibel(_signal[row], _noise[row]) < LeastSliceSqnr)
                    lost++;
            }

            return lost == 0 ? new(sqnr, null) : new(sqnr, $"{lost} of the {rows} slices of its first axis would lose more than a percent: values below float16's least normal number, 6e-5");
        }

        private static double Decibel(double signal, double noise) =>
            noise == 0 ? 200 : signal == 0 ? 0 : Math.Min(200, 10 * Math.Log10(signal / noise));
    }
}
