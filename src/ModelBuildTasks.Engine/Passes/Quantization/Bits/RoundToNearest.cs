using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace ModelBuildTasks.Engine.Passes.Quantization.Bits;

/// <summary>
/// Rounds groups of weights to nearest at the scale of the least squared error: scales from that of the whole range down are tried, then the
/// one that fits the codes best in the least-squares sense. Sixteen rows at a time, one a lane.
/// </summary>
internal static class RoundToNearest
{
    /// <summary>Rows that are rounded at a time.</summary>
    public const int Lanes = 16;

    // A tail that is cut off costs less than it gives where codes are few.
    private static readonly float[] _wide = [1, 0.96f, 0.92f, 0.88f, 0.84f, 0.8f];
    private static readonly float[] _narrow = [1, 0.94f, 0.88f, 0.82f, 0.76f, 0.7f, 0.64f, 0.58f, 0.52f, 0.46f, 0.4f];

    /// <summary>Codes, scales and zeros of a weight.</summary>
    /// <param name="values">The weight in the order of its tensor.</param>
    /// <param name="layout">Its rows.</param>
    /// <param name="grid">The numbers.</param>
    /// <param name="group">Columns that share a scale; 0 for all.</param>
    /// <param name="importance">What an error counts in each column; empty where all count alike.</param>
    /// <param name="halves">Whether scales are stored as float16: codes are found for the scale as it is stored.</param>
    /// <param name="threads">Threads to use; the result does not depend on it.</param>
    public static BitWeight Quantize(float[] values, RowLayout layout, BitGrid grid, int group, float[] importance, bool halves, int threads) =>
        Each(values, layout, grid, group, halves, threads, (tile, into, columns, first) =>
            Best(tile, grid, importance.Length > 0 ? importance.AsSpan(first, columns) : [], into));

    /// <summary>Finds scale and zero of sixteen groups.</summary>
    /// <param name="tile">[columns, 16].</param>
    /// <param name="into">Gets scales and zeros.</param>
    /// <param name="columns">Columns of the group.</param>
    /// <param name="first">The first of them.</param>
    public delegate void ScaleSearch(ReadOnlySpan<float> tile, Span<float> into, int columns, int first);

    /// <summary>Codes of a weight at the scales that <paramref name="search"/> finds.</summary>
    public static BitWeight Each(float[] values, RowLayout layout, BitGrid grid, int group, bool halves, int threads, ScaleSearch search)
    {
        var weight = BitWeight.Empty(layout, grid, group);
        var tiles = (layout.Rows + Lanes - 1) / Lanes;
        Parallel.For(0, tiles, new ParallelOptions { MaxDegreeOfParallelism = Math.Max(1, threads) }, () => new float[weight.Group * Lanes], (t, _, tile) =>
        {
            Tile(values, weight, t * Lanes, tile, halves, search);
            return tile;
        }, _ => { });
        return weight;
    }

    private static void Tile(float[] values, BitWeight weight, int row, float[] tile, bool halves, ScaleSearch search)
    {
        var (layout, grid) = (weight.Layout, weight.Grid);
        var rows = Math.Min(Lanes, layout.Rows - row);
        Span<float> found = stackalloc float[2 * Lanes];
        Span<byte> codes = stackalloc byte[Lanes];
        for (var g = 0; g < weight.Groups; g++)
        {
            var first = g * weight.Group;
            var columns = Math.Min(weight.Group, layout.Columns - first);
            Load(values, layout, row, rows, first, columns, tile);
            search(tile.AsSpan(0, columns * Lanes), found, columns, first);
            if (halves)
                Halves(Vector512.Create<float>(found)).CopyTo(found);
            for (var l = 0; l < rows; l++)
            {
                weight.Scales[(row + l) * weight.Groups + g] = found[l];
                if (!grid.Symmetric)
                    weight.Zeros[(row + l) * weight.Groups + g] = (byte)found[Lanes + l];
            }

            var (scale, zero) = (Vector512.Create<float>(found), Vector512.Create<float>(found[Lanes..]));
            var inverse = Vector512<float>.One / scale;
            for (var c = 0; c < columns; c++)
            {
                var narrow = RoundKernels.Narrow(Vector512.ConvertToInt32(Code(Vector512.LoadUnsafe(ref tile[c * Lanes]), inverse, zero, grid.Top)));
                if (layout.RowStride == 1 && rows == Lanes)
                {
                    narrow.StoreUnsafe(ref weight.Codes[layout.Index(row, first + c)]);
                    continue;
                }

                narrow.StoreUnsafe(ref codes[0]);
                for (var l = 0; l < rows; l++)
                    weight.Codes[layout.Index(row + l, first + c)] = codes[l];
            }
        }
    }

    /// <summary>The codes of values at a scale.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Code(Vector512<float> value, Vector512<float> inverse, Vector512<float> zero, int top) =>
        Vector512.MinNative(Vector512.MaxNative(Vector512.Round(value * inverse) + zero, Vector512<float>.Zero), Vector512.Create((float)top));

    /// <summary>The nearest float16 that is not zero, of each scale.</summary>
    public static Vector512<float> Halves(Vector512<float> scales)
    {
        var (least, most) = (Vector512.Create(6.2e-5f), Vector512.Create(65504f));
        if (Vector512.GreaterThanOrEqualAll(scales, least) && Vector512.LessThanOrEqualAll(scales, most))
        {
            // Normal numbers: ten bits of the fraction stay, ties to even.
            var bits = scales.AsInt32();
            var odd = Vector512.ShiftRightLogical(bits, 13) & Vector512<int>.One;
            return (bits + Vector512.Create(0x0FFF) + odd & Vector512.Create(~0x1FFF)).AsSingle();
        }

        Span<float> each = stackalloc float[Lanes];
        scales.CopyTo(each);
        foreach (ref var scale in each)
            scale = (float)(Half)Math.Clamp(scale, 6e-8f, 65504f);
        return Vector512.Create<float>(each);
    }

    private static void Load(float[] values, RowLayout layout, int row, int rows, int first, int columns, float[] tile)
    {
        if (layout.RowStride == 1 && rows == Lanes)
        {
            for (var c = 0; c < columns; c++)
                Vector512.LoadUnsafe(ref values[layout.Index(row, first + c)]).StoreUnsafe(ref tile[c * Lanes]);
            return;
        }

        if (rows < Lanes)
            Array.Clear(tile);
        for (var l = 0; l < rows; l++)
        {
            var at = layout.Index(row + l, first);
            for (var c = 0; c < columns; c++, at += layout.ColumnStride)
                tile[c * Lanes + l] = values[at];
        }
    }

    /// <summary>The scale of the least squared error of each lane, and its zero.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Best(ReadOnlySpan<float> tile, BitGrid grid, ReadOnlySpan<float> importance, Span<float> into)
    {
        var (start, zero) = Range(tile, grid);
        var (best, least) = (start, Vector512.Create(float.PositiveInfinity));
        foreach (var factor in grid.Bits >= 4 ? _wide : _narrow)
        {
            var scale = start * factor;
            var error = Error(tile, scale, zero, grid.Top, importance);
            var better = Vector512.LessThan(error, least);
            best = Vector512.ConditionalSelect(better, scale, best);
            least = Vector512.MinNative(error, least);
        }

        var fitted = Fit(tile, best, zero, grid.Top, importance);
        best = Vector512.ConditionalSelect(Vector512.LessThan(Error(tile, fitted, zero, grid.Top, importance), least), fitted, best);
        best.CopyTo(into);
        zero.CopyTo(into[Lanes..]);
    }

    /// <summary>The scale that covers the whole range, never 0, and the code of zero.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static (Vector512<float> Scale, Vector512<float> Zero) Range(ReadOnlySpan<float> tile, BitGrid grid)
    {
        var (low, high) = (Vector512<float>.Zero, Vector512<float>.Zero);
        for (var at = 0; at < tile.Length; at += Lanes)
        {
            var v = Vector512.Create(tile.Slice(at, Lanes));
            (low, high) = (Vector512.MinNative(low, v), Vector512.MaxNative(high, v));
        }

        var range = grid.Symmetric ? Vector512.Max(-low, high) / (grid.Top - grid.Zero) : (high - low) / grid.Top;
        var scale = Vector512.ConditionalSelect(Vector512.GreaterThan(range, Vector512.Create(1e-30f)), range, Vector512<float>.One);
        var zero = grid.Symmetric ? Vector512.Create((float)grid.Zero) : Vector512.Round(-low / scale);
        return (scale, zero);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Error(ReadOnlySpan<float> tile, Vector512<float> scale, Vector512<float> zero, int top, ReadOnlySpan<float> importance)
    {
        var (inverse, low, high) = (Vector512<float>.One / scale, Vector512.Create(Nearest) - zero, Vector512.Create(Nearest + top) - zero);
        var sum = Vector512<float>.Zero;
        if (importance.IsEmpty)
        {
            for (var at = 0; at < tile.Length; at += Lanes)
            {
                var v = Vector512.Create(tile.Slice(at, Lanes));
                var error = Vector512.FusedMultiplyAdd(Whole(v, inverse, low, high), scale, -v);
                sum = Vector512.FusedMultiplyAdd(error, error, sum);
            }

            return sum;
        }

        for (var (at, c) = (0, 0); at < tile.Length; at += Lanes, c++)
        {
            var v = Vector512.Create(tile.Slice(at, Lanes));
            var error = Vector512.FusedMultiplyAdd(Whole(v, inverse, low, high), scale, -v);
            sum = Vector512.FusedMultiplyAdd(error * importance[c], error, sum);
        }

        return sum;
    }

    // Adding it to a float below 2^22 leaves no bit for a fraction: the sum is rounded to a whole number, ties to even, in one instruction
    // together with the product in front of it.
    private const float Nearest = 3 << 22;

    /// <summary>The nearest whole number of <paramref name="value"/> times <paramref name="inverse"/>, within bounds that have <see cref="Nearest"/> added.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Whole(Vector512<float> value, Vector512<float> inverse, Vector512<float> low, Vector512<float> high)
    {
        var near = Vector512.FusedMultiplyAdd(value, inverse, Vector512.Create(Nearest));
        return Vector512.MinNative(Vector512.MaxNative(near, low), high) - Vector512.Create(Nearest);
    }

    /// <summary>Σ w·q / Σ q² for the codes q − zero at a scale; the scale itself where all are zero.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Fit(ReadOnlySpan<float> tile, Vector512<float> scale, Vector512<float> zero, int top, ReadOnlySpan<float> importance)
    {
        var (inverse, low, high) = (Vector512<float>.One / scale, Vector512.Create(Nearest) - zero, Vector512.Create(Nearest + top) - zero);
        var (products, squares) = (Vector512<float>.Zero, Vector512<float>.Zero);
        for (var (at, c) = (0, 0); at < tile.Length; at += Lanes, c++)
        {
            var v = Vector512.Create(tile.Slice(at, Lanes));
            var code = Whole(v, inverse, low, high);
            var weighted = importance.IsEmpty ? code : code * importance[c];
            products = Vector512.FusedMultiplyAdd(weighted, v, products);
            squares = Vector512.FusedMultiplyAdd(weighted, code, squares);
        }

        return Vector512.ConditionalSelect(Vector512.GreaterThan(products, Vector512<float>.Zero), products / squares, scale);
    }
}
