using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace ModelBuildTasks.Engine.Passes.Quantization.Bits;

/// <summary>
/// Finds the scale of groups whose values lie on a grid already, as those of weights that were trained on it do: each is exactly a scale times an
/// integer that has a code. Searching for the least error would cut the tail off a group that does not use its outermost code.
/// </summary>
internal static class OnGrid
{
    // Bits of a float's fraction, and of a float16's.
    private const int Fraction = 24;
    private const int HalfFraction = 11;

    /// <summary>Replaces the scales and zeros of those of sixteen groups that lie on a grid.</summary>
    /// <param name="tile">[columns, 16].</param>
    /// <param name="grid">The numbers.</param>
    /// <param name="halves">Whether scales are stored as float16: then only such are looked for.</param>
    /// <param name="into">Scales and zeros, of which those that are found are written.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Search(ReadOnlySpan<float> tile, BitGrid grid, bool halves, Span<float> into)
    {
        const int lanes = RoundToNearest.Lanes;
        var open = Vector512<int>.AllBitsSet;
        var largest = Vector512<float>.Zero;
        // A float16 times a code has few digits: the first numbers of a float32 weight tell that nothing is to be found.
        var digits = Vector512.Create(halves ? (1 << (Fraction - HalfFraction - grid.Bits)) - 1 : 0);
        for (var at = 0; at < tile.Length; at += lanes)
        {
            var value = Vector512.Create(tile.Slice(at, lanes));
            open &= Vector512.Equals(value.AsInt32() & digits, Vector512<int>.Zero);
            if (open == Vector512<int>.Zero)
                return;
            largest = Vector512.Max(largest, Vector512.Abs(value));
        }

        var empty = Vector512.Equals(largest, Vector512<float>.Zero).AsInt32();
        var (scale, zero) = (Vector512.ConditionalSelect(empty.AsSingle(), Vector512<float>.One, Vector512.Create<float>(into)), Vector512.Create<float>(into[lanes..]));
        if (!grid.Symmetric)
            zero = Vector512.ConditionalSelect(empty.AsSingle(), Vector512<float>.Zero, zero);
        else
            zero = Vector512.Create((float)grid.Zero);
        open &= ~empty;
        // The coarsest grid first: the largest magnitude is one step, two, three…
        for (var steps = 1; steps <= (grid.Symmetric ? grid.Zero : grid.Top) && open != Vector512<int>.Zero; steps++)
        {
            var quotient = largest / Vector512.Create((float)steps);
            // The quotient of a multiple that was rounded may be a neighbour of its scale.
            for (var neighbour = halves ? 0 : -1; neighbour <= (halves ? 0 : 1) && open != Vector512<int>.Zero; neighbour++)
            {
                var trial = halves ? RoundToNearest.Halves(quotient) : (quotient.AsInt32() + Vector512.Create(neighbour)).AsSingle();
                var (fits, low) = Fits(tile, grid, trial, open);
                scale = Vector512.ConditionalSelect(fits.AsSingle(), trial, scale);
                if (!grid.Symmetric)
                    zero = Vector512.ConditionalSelect(fits.AsSingle(), -low, zero);
                open &= ~fits;
            }
        }

        scale.CopyTo(into);
        zero.CopyTo(into[lanes..]);
    }

    /// <summary>The lanes in which all values are the scale times integers that have codes, and the least of these integers or 0.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (Vector512<int> Fits, Vector512<float> Low) Fits(ReadOnlySpan<float> tile, BitGrid grid, Vector512<float> scale, Vector512<int> open)
    {
        var (low, high) = (Vector512<float>.Zero, Vector512<float>.Zero);
        var fits = open;
        for (var at = 0; at < tile.Length && fits != Vector512<int>.Zero; at += RoundToNearest.Lanes)
        {
            var value = Vector512.Create(tile.Slice(at, RoundToNearest.Lanes));
            var step = Vector512.Round(value / scale);
            (low, high) = (Vector512.Min(low, step), Vector512.Max(high, step));
            fits &= Vector512.Equals(step * scale, value).AsInt32();
        }

        var inside = grid.Symmetric
            ? Vector512.GreaterThanOrEqual(low, Vector512.Create(-(float)grid.Zero)) & Vector512.LessThanOrEqual(high, Vector512.Create((float)(grid.Top - grid.Zero)))
            : Vector512.LessThanOrEqual(high - low, Vector512.Create((float)grid.Top));
        return (fits & inside.AsInt32(), low);
    }
}
