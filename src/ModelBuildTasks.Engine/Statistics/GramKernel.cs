using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace ModelBuildTasks.Engine.Statistics;

/// <summary>G += XᵀX on blocks that stay in registers: products in float over one block of rows, sums of blocks in double.</summary>
internal static class GramKernel
{
    /// <summary>Row lengths are multiples of this.</summary>
    public const int Width = 16;

    private const int Tall = 4;
    private const int Wide = 4 * Width;

    /// <summary>Adds the products of columns i ≤ j; the part below the diagonal is undefined.</summary>
    /// <param name="rows">Rows of <paramref name="stride"/> values, zero behind the last column.</param>
    /// <param name="count">Number of rows.</param>
    /// <param name="columns">Columns in use.</param>
    /// <param name="stride">Length of a row of <paramref name="rows"/> and of <paramref name="gram"/>, a multiple of <see cref="Width"/>.</param>
    /// <param name="gram">[columns, stride].</param>
    public static unsafe void Add(ReadOnlySpan<float> rows, int count, int columns, int stride, Span<double> gram)
    {
        fixed (float* x = rows)
        fixed (double* g = gram)
        {
            for (var i = 0; i < columns; i += Tall)
            {
                var tall = Math.Min(Tall, columns - i);
                var j = i & ~(Width - 1);
                for (; j + Wide <= stride; j += Wide)
                    WideTile(x, count, stride, i, j, tall, g);
                for (; j < stride; j += Width)
                    NarrowTile(x, count, stride, i, j, tall, g);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static unsafe void WideTile(float* x, int count, int stride, int i, int j, int tall, double* g)
    {
        Vector512<float> a0 = default, a1 = default, a2 = default, a3 = default, b0 = default, b1 = default, b2 = default, b3 = default;
        Vector512<float> c0 = default, c1 = default, c2 = default, c3 = default, d0 = default, d1 = default, d2 = default, d3 = default;
        float* left = x + i, right = x + j;
        for (var r = 0; r < count; r++, left += stride, right += stride)
        {
            Vector512<float> v0 = Vector512.Load(right), v1 = Vector512.Load(right + Width), v2 = Vector512.Load(right + 2 * Width), v3 = Vector512.Load(right + 3 * Width);
            var u = Vector512.Create(left[0]);
            (a0, a1, a2, a3) = (Fma(u, v0, a0), Fma(u, v1, a1), Fma(u, v2, a2), Fma(u, v3, a3));
            u = Vector512.Create(left[1]);
            (b0, b1, b2, b3) = (Fma(u, v0, b0), Fma(u, v1, b1), Fma(u, v2, b2), Fma(u, v3, b3));
            u = Vector512.Create(left[2]);
            (c0, c1, c2, c3) = (Fma(u, v0, c0), Fma(u, v1, c1), Fma(u, v2, c2), Fma(u, v3, c3));
            u = Vector512.Create(left[3]);
            (d0, d1, d2, d3) = (Fma(u, v0, d0), Fma(u, v1, d1), Fma(u, v2, d2), Fma(u, v3, d3));
        }

        var to = g + (long)i * stride + j;
        Store(to, a0, a1, a2, a3);
        if (tall > 1)
            Store(to + stride, b0, b1, b2, b3);
        if (tall > 2)
            Store(to + 2 * stride, c0, c1, c2, c3);
        if (tall > 3)
            Store(to + 3 * stride, d0, d1, d2, d3);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static unsafe void NarrowTile(float* x, int count, int stride, int i, int j, int tall, double* g)
    {
        Vector512<float> a = default, b = default, c = default, d = default;
        float* left = x + i, right = x + j;
        for (var r = 0; r < count; r++, left += stride, right += stride)
        {
            var v = Vector512.Load(right);
            a = Fma(Vector512.Create(left[0]), v, a);
            b = Fma(Vector512.Create(left[1]), v, b);
            c = Fma(Vector512.Create(left[2]), v, c);
            d = Fma(Vector512.Create(left[3]), v, d);
        }

        var to = g + (long)i * stride + j;
        Store(to, a);
        if (tall > 1)
            Store(to + stride, b);
        if (tall > 2)
            Store(to + 2 * stride, c);
        if (tall > 3)
            Store(to + 3 * stride, d);
    }

    // Fused on every machine, so that every machine rounds alike.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Fma(Vector512<float> a, Vector512<float> b, Vector512<float> c) => Vector512.FusedMultiplyAdd(a, b, c);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static unsafe void Store(double* to, Vector512<float> a, Vector512<float> b, Vector512<float> c, Vector512<float> d)
    {
        Store(to, a);
        Store(to + Width, b);
        Store(to + 2 * Width, c);
        Store(to + 3 * Width, d);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static unsafe void Store(double* to, Vector512<float> sums)
    {
        var (low, high) = Vector512.Widen(sums);
        (Vector512.Load(to) + low).Store(to);
        (Vector512.Load(to + 8) + high).Store(to + 8);
    }
}
