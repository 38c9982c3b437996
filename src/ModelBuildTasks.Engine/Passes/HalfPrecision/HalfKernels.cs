using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace ModelBuildTasks.Engine.Passes.HalfPrecision;

/// <summary>
/// Inner loops of rounding to float16, to nearest even, in portable vectors. A normal float16 keeps ten bits of the fraction: half of the last
/// one is added, so that a carry moves the exponent as it should. Below 2⁻¹⁴ the steps are 2⁻²⁴, those of float32 at 0.5: adding 0.5 rounds.
/// Optimized at once: a short run would end before the runtime notices that they are hot.
/// </summary>
internal static class HalfKernels
{
    private const int Lanes = 16;

    // 2⁻¹⁴, the least normal float16.
    private const uint LeastNormal = 0x3880_0000;

    // Exponents of float16 begin 112 later.
    private const uint Bias = 112u << 23;

    /// <summary>Σx², Σ(x − x̂)², and the largest magnitude, which is at least infinite where a value is not a number. Beyond <see cref="HalfConversion.Overflow"/> the sums mean nothing.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static (float Signal, float Noise, float Largest) Loss(ReadOnlySpan<float> values)
    {
        var (signal, noise, largest) = (Vector512<float>.Zero, Vector512<float>.Zero, Vector512<uint>.Zero);
        var at = 0;
        for (; at <= values.Length - Lanes; at += Lanes)
        {
            var size = Vector512.Abs(Vector512.Create(values.Slice(at, Lanes)));
            largest = Vector512.Max(largest, size.AsUInt32());
            var error = Rounded(size) - size;
            signal += size * size;
            noise += error * error;
        }

        var (s, n, l) = (Vector512.Sum(signal), Vector512.Sum(noise), 0u);
        for (var lane = 0; lane < Lanes; lane++)
            l = Math.Max(l, largest[lane]);
        for (; at < values.Length; at++)
        {
            var size = Math.Abs(values[at]);
            var error = (float)(Half)size - size;
            (s, n, l) = (s + size * size, n + error * error, Math.Max(l, BitConverter.SingleToUInt32Bits(size)));
        }

        return (s, n, l > 0x7F80_0000 ? float.PositiveInfinity : BitConverter.UInt32BitsToSingle(l));
    }

    /// <summary>Rounds values.</summary>
    /// <param name="values">The values.</param>
    /// <param name="halves">Gets as many bit patterns.</param>
    /// <returns>Whether all magnitudes are below <see cref="HalfConversion.Overflow"/>; otherwise what was written means nothing.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static bool TryConvert(ReadOnlySpan<float> values, Span<ushort> halves)
    {
        var largest = Vector512<uint>.Zero;
        var overflow = BitConverter.SingleToUInt32Bits(HalfConversion.Overflow);
        var at = 0;
        for (; at <= values.Length - 2 * Lanes; at += 2 * Lanes)
        {
            var (low, high) = (Vector512.Create(values.Slice(at, Lanes)).AsUInt32(), Vector512.Create(values.Slice(at + Lanes, Lanes)).AsUInt32());
            largest = Vector512.Max(largest, Vector512.Max(low & Vector512.Create(0x7FFF_FFFFu), high & Vector512.Create(0x7FFF_FFFFu)));
            Vector512.Narrow(Bits(low), Bits(high)).CopyTo(halves[at..]);
        }

        for (; at < values.Length; at++)
        {
            if (!(Math.Abs(values[at]) < HalfConversion.Overflow))
                return false;
            halves[at] = BitConverter.HalfToUInt16Bits((Half)values[at]);
        }

        return Vector512.LessThanAll(largest, Vector512.Create(overflow));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Rounded(Vector512<float> size)
    {
        var bits = size.AsUInt32();
        var normal = (bits + Vector512.Create(0xFFFu) + ((bits >>> 13) & Vector512<uint>.One)) & Vector512.Create(~0x1FFFu);
        var small = size + Vector512.Create(0.5f) - Vector512.Create(0.5f);
        return Vector512.ConditionalSelect(Vector512.LessThan(bits, Vector512.Create(LeastNormal)), small.AsUInt32(), normal).AsSingle();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<uint> Bits(Vector512<uint> value)
    {
        var bits = value & Vector512.Create(0x7FFF_FFFFu);
        var normal = (bits + Vector512.Create(0xFFFu) + ((bits >>> 13) & Vector512<uint>.One) - Vector512.Create(Bias)) >>> 13;
        var small = (bits.AsSingle() + Vector512.Create(0.5f)).AsUInt32() - Vector512.Create(0x3F00_0000u);
        return Vector512.ConditionalSelect(Vector512.LessThan(bits, Vector512.Create(LeastNormal)), small, normal) | (value >>> 16 & Vector512.Create(0x8000u));
    }
}
