using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace ModelBuildTasks.Engine.Passes.Quantization;

/// <summary>Inner loops of symmetric rounding to 8 bits, in portable vectors. Optimized at once: a short run would end before the runtime notices that they are hot.</summary>
internal static class RoundKernels
{
    private const int Lanes = 16;
    private const float Max = AffineQuantizer.WeightMax;

    /// <summary>Rounds values at one scale; Σw² and Σ(w − ŵ)².</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static (float Signal, float Noise) Round(ReadOnlySpan<float> values, float scale, Span<sbyte> codes)
    {
        var divisor = Vector512.Create(scale);
        var (signal, noise) = (Vector512<float>.Zero, Vector512<float>.Zero);
        var at = 0;
        for (; at <= values.Length - Lanes; at += Lanes)
            Round(Load(values, at), divisor, codes, at, ref signal, ref noise);
        var (s, n) = (Vector512.Sum(signal), Vector512.Sum(noise));
        for (; at < values.Length; at++)
            Round(values[at], scale, out codes[at], ref s, ref n);
        return (s, n);
    }

    /// <summary>Rounds each value at a scale of its own; Σw² and Σ(w − ŵ)².</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static (float Signal, float Noise) Round(ReadOnlySpan<float> values, ReadOnlySpan<float> scales, Span<sbyte> codes)
    {
        var (signal, noise) = (Vector512<float>.Zero, Vector512<float>.Zero);
        var at = 0;
        for (; at <= values.Length - Lanes; at += Lanes)
            Round(Load(values, at), Load(scales, at), codes, at, ref signal, ref noise);
        var (s, n) = (Vector512.Sum(signal), Vector512.Sum(noise));
        for (; at < values.Length; at++)
            Round(values[at], scales[at], out codes[at], ref s, ref n);
        return (s, n);
    }

    /// <summary>largest = max(largest, |values|).</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void MaxMagnitude(ReadOnlySpan<float> values, Span<float> largest)
    {
        var at = 0;
        for (; at <= values.Length - Lanes; at += Lanes)
            Vector512.Max(Load(largest, at), Vector512.Abs(Load(values, at))).StoreUnsafe(ref largest[at]);
        for (; at < values.Length; at++)
            largest[at] = Math.Max(largest[at], Math.Abs(values[at]));
    }

    /// <summary>largest = max(largest, the sum of the magnitudes of what has the same sign in both rows).</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void MaxPair(ReadOnlySpan<float> row, ReadOnlySpan<float> before, Span<float> largest)
    {
        var zero = Vector512<float>.Zero;
        var at = 0;
        for (; at <= row.Length - Lanes; at += Lanes)
        {
            var (x, y) = (Load(row, at), Load(before, at));
            var positive = Vector512.Max(x, zero) + Vector512.Max(y, zero);
            var negative = Vector512.Max(-x, zero) + Vector512.Max(-y, zero);
            Vector512.Max(Load(largest, at), Vector512.Max(positive, negative)).StoreUnsafe(ref largest[at]);
        }

        for (; at < row.Length; at++)
            largest[at] = Math.Max(largest[at], Math.Max(Math.Max(row[at], 0) + Math.Max(before[at], 0), Math.Max(-row[at], 0) + Math.Max(-before[at], 0)));
    }

    /// <summary>Whether no value is infinite or not a number.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static bool AreFinite(ReadOnlySpan<float> values)
    {
        // What is not finite has all bits of the exponent set.
        var exponent = Vector512.Create(0x7F80_0000);
        var odd = Vector512<int>.Zero;
        var at = 0;
        for (; at <= values.Length - Lanes; at += Lanes)
            odd |= Vector512.Equals(Load(values, at).AsInt32() & exponent, exponent);
        for (; at < values.Length; at++)
        {
            if (!float.IsFinite(values[at]))
                return false;
        }

        return odd == Vector512<int>.Zero;
    }

    /// <summary>Sixteen integers in the range of a byte as bytes.</summary>
    public static Vector128<byte> Narrow(Vector512<int> values)
    {
        var halves = Vector256.Narrow(values.GetLower(), values.GetUpper());
        return Vector128.Narrow(halves.GetLower(), halves.GetUpper()).AsByte();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Round(Vector512<float> value, Vector512<float> scale, Span<sbyte> codes, int at, ref Vector512<float> signal, ref Vector512<float> noise)
    {
        var code = Vector512.Min(Vector512.Max(Vector512.Round(value / scale), Vector512.Create(-Max)), Vector512.Create(Max));
        var error = value - code * scale;
        signal += value * value;
        noise += error * error;
        Narrow(Vector512.ConvertToInt32(code)).AsSByte().StoreUnsafe(ref codes[at]);
    }

    private static void Round(float value, float scale, out sbyte code, ref float signal, ref float noise)
    {
        var rounded = Math.Clamp(MathF.Round(value / scale), -Max, Max);
        var error = value - rounded * scale;
        signal += value * value;
        noise += error * error;
        code = (sbyte)rounded;
    }

    private static Vector512<float> Load(ReadOnlySpan<float> values, int at) => Vector512.LoadUnsafe(ref MemoryMarshal.GetReference(values), (nuint)at);
}
