using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace ModelBuildTasks.Engine.Passes.Quantization.Bits;

/// <summary>
/// Half-quadratic quantization (Badri and Shaji 2023): the zero of a group for the least Σ|w − ŵ|^p with p below 1, which lets outliers be
/// wrong. Alternates e = shrink(w − ŵ), sign(x)·max(0, |x| − |x|^(p−1)/β), with zero = mean(code − (w − e)/scale); β grows. The zero
/// is a code here, so it is rounded in the end. No data.
/// </summary>
internal static class HalfQuadratic
{
    private const int Lanes = 16;
    private const int Rounds = 20;
    private const float P = 0.7f;
    private const float Beta = 10;
    private const float Growth = 1.01f;

    /// <summary>Codes, scales and zeros of a weight.</summary>
    public static BitWeight Quantize(float[] values, RowLayout layout, BitGrid grid, int group, bool halves, int threads) =>
        RoundToNearest.Each(values, layout, grid, group, halves, threads, (tile, into, _, _) => Search(tile, grid, into));

    /// <summary>Scale and zero of each lane of a tile.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Search(ReadOnlySpan<float> tile, BitGrid grid, Span<float> into)
    {
        if (grid.Symmetric)
        {
            // Nothing but the scale to find.
            RoundToNearest.Best(tile, grid, [], into);
            return;
        }

        var (scale, zero) = RoundToNearest.Range(tile, grid);
        var (inverse, top) = (Vector512<float>.One / scale, Vector512.Create((float)grid.Top));
        var (best, least) = (zero, Vector512.Create(float.PositiveInfinity));
        var columns = (float)(tile.Length / Lanes);
        var beta = Beta;
        for (var round = 0; round < Rounds; round++, beta *= Growth)
        {
            var (sum, error) = (Vector512<float>.Zero, Vector512<float>.Zero);
            for (var at = 0; at < tile.Length; at += Lanes)
            {
                var v = Vector512.Create(tile.Slice(at, Lanes));
                var code = Vector512.Min(Vector512.Max(Vector512.Round(v * inverse + zero), Vector512<float>.Zero), top);
                var rest = v - (code - zero) * scale;
                var size = Vector512.Abs(rest);
                // |x|^(p−1); at 0 the threshold is so large that nothing is left.
                var threshold = Power(Vector512.Max(size, Vector512.Create(1e-20f)), P - 1) * (1 / beta);
                var kept = Vector512.CopySign(Vector512.Max(Vector512<float>.Zero, size - threshold), rest);
                sum += code - (v - kept) * inverse;
                error += size;
            }

            var better = Vector512.LessThan(error, least);
            best = Vector512.ConditionalSelect(better, zero, best);
            least = Vector512.Min(error, least);
            if (!Vector512.AnyWhereAllBitsSet(better.AsInt32()))
                break;
            zero = sum / columns;
        }

        scale.CopyTo(into);
        Vector512.Min(Vector512.Max(Vector512.Round(best), Vector512<float>.Zero), top).CopyTo(into[Lanes..]);
    }

    /// <summary>
    /// Powers of normal positive numbers within one percent, which is what a threshold needs: exponents are exact, logarithm and power of the
    /// fraction are parabolas through both ends.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static Vector512<float> Power(Vector512<float> value, float power)
    {
        var bits = value.AsInt32();
        var exponent = Vector512.ConvertToSingle((bits >> 23) - Vector512.Create(127));
        var m = ((bits & Vector512.Create(0x007F_FFFF)) | Vector512.Create(0x3F80_0000)).AsSingle();
        // log2(m) of 1 to 2: −m²/3 + 2m − 5/3.
        var log = exponent + (Vector512.Create(2f) - m * (1 / 3f)) * m - Vector512.Create(5 / 3f);
        var wanted = log * power;
        var whole = Vector512.Floor(wanted);
        var f = wanted - whole;
        // 2^f of 0 to 1: f²/3 + 2f/3 + 1.
        var fraction = (f * (1 / 3f) + Vector512.Create(2 / 3f)) * f + Vector512<float>.One;
        return (fraction.AsInt32() + (Vector512.ConvertToInt32(whole) << 23)).AsSingle();
    }
}
