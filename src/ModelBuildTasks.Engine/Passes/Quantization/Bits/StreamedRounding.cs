using System.Buffers;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.Quantization.Bits;

/// <summary>
/// Codes of a weight that is read block by block and packed as the file stores it, so that neither its floats nor its codes are ever there as a
/// whole. Codes, scales and zeros are those of <see cref="RoundToNearest.Each"/>.
/// </summary>
/// <param name="model">The model.</param>
/// <param name="tensor">The weight.</param>
/// <param name="layout">Its rows.</param>
/// <param name="grid">The numbers; codes are of one field, 8, 4, 2 or 1 bit.</param>
/// <param name="group">Columns that share a scale.</param>
/// <param name="threads">Threads to use; the result does not depend on it.</param>
internal sealed class StreamedRounding(OnnxModel model, TensorProto tensor, RowLayout layout, BitGrid grid, int group, int threads)
{
    private const int Lanes = RoundToNearest.Lanes;

    private readonly int _groups = layout.Groups(group);

    /// <summary>Whether a weight's rows, or its columns, follow one another in the tensor, and codes fill whole bytes.</summary>
    public static bool Can(RowLayout layout, BitGrid grid, int group) =>
        BitPacking.Fields(grid.Bits).Count == 1 && (layout.RowStride == 1 ? layout.ColumnStride == layout.Rows && group * grid.Bits % 8 == 0 : layout.ColumnStride == 1 && layout.RowStride == layout.Columns);

    /// <summary>Finds the codes.</summary>
    /// <param name="halves">Whether scales are stored as float16.</param>
    /// <param name="search">Finds scale and zero of sixteen groups.</param>
    /// <returns>What is stored, and how near it comes, in dB.</returns>
    public (PackedCodes Packed, double Sqnr) Run(bool halves, RoundToNearest.ScaleSearch search)
    {
        var columnsFirst = layout.RowStride == 1;
        var unit = columnsFirst ? (long)group * layout.Rows : (long)Lanes * layout.Columns;
        var count = (long)layout.Rows * layout.Columns;
        var packed = GC.AllocateUninitializedArray<byte>(TooLarge.Checked(BitPacking.Length(count, grid.Bits), tensor));
        var scales = GC.AllocateUninitializedArray<float>(layout.Rows * _groups);
        var zeros = grid.Symmetric ? [] : new byte[scales.Length];
        var blocks = FloatBlocks.Count(count, unit);
        var (power, noise) = (new double[blocks], new double[blocks]);
        FloatBlocks.ForEach(model, tensor, unit, threads, (values, _, first, block) =>
        {
            var tile = ArrayPool<float>.Shared.Rent(group * Lanes);
            var codes = ArrayPool<byte>.Shared.Rent(values.Length);
            var work = new Work(tile, codes, scales, zeros, halves, search);
            if (columnsFirst)
                ColumnsFirst(values, (int)(first / layout.Rows / group), ref work);
            else
                RowsFirst(values, (int)(first / layout.Columns), ref work);
            BitPacking.Pack(codes.AsSpan(0, values.Length), grid.Bits, 0, packed.AsSpan((int)(first * grid.Bits / 8)));
            (power[block], noise[block]) = (work.Power, work.Noise);
            ArrayPool<float>.Shared.Return(tile);
            ArrayPool<byte>.Shared.Return(codes);
        });
        return (new(packed, scales, Packed(zeros)), AffineQuantizer.Decibels(power.Sum(), noise.Sum()));
    }

    private ref struct Work(float[] tile, byte[] codes, float[] scales, byte[] zeros, bool halves, RoundToNearest.ScaleSearch search)
    {
        public readonly float[] Tile => tile;

        public readonly byte[] Codes => codes;

        public readonly float[] Scales => scales;

        public readonly byte[] Zeros => zeros;

        public readonly bool Halves => halves;

        public readonly RoundToNearest.ScaleSearch Search => search;

        public double Power { get; private set; }

        public double Noise { get; private set; }

        public void Add(in Sums tile)
        {
            Power += Vector512.Sum(tile.Power);
            Noise += Vector512.Sum(tile.Noise);
        }
    }

    private struct Sums
    {
        public Vector512<float> Power;
        public Vector512<float> Noise;
    }

    // [columns, rows]: what shares a scale is in a lane already.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void ColumnsFirst(ReadOnlySpan<float> values, int g, ref Work work)
    {
        var n = layout.Rows;
        for (var from = 0; from < values.Length; from += group * n, g++)
        {
            var columns = Math.Min(group, (values.Length - from) / n);
            for (var row = 0; row < n; row += Lanes)
            {
                var rows = Math.Min(Lanes, n - row);
                for (var c = 0; c < columns; c++)
                    Load(values.Slice(from + c * n + row, rows), work.Tile.AsSpan(c * Lanes, Lanes));
                var found = Find(ref work, columns, g);
                if (rows == Lanes)
                    found.Scale.StoreUnsafe(ref work.Scales[g * n + row]);
                for (var l = rows == Lanes && grid.Symmetric ? Lanes : 0; l < rows; l++)
                    Keep(work, g * n + row + l, found, l);
                var sums = new Sums();
                for (var c = 0; c < columns; c++)
                    Store(Round(work.Tile, c, found, ref sums), work.Codes.AsSpan(from + c * n + row, rows));
                work.Add(sums);
            }
        }
    }

    // [rows, columns]: sixteen rows are turned around.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void RowsFirst(ReadOnlySpan<float> values, int firstRow, ref Work work)
    {
        var k = layout.Columns;
        Span<byte> lane = stackalloc byte[Lanes];
        for (var from = 0; from < values.Length; from += Lanes * k, firstRow += Lanes)
        {
            var rows = Math.Min(Lanes, (values.Length - from) / k);
            for (var g = 0; g < _groups; g++)
            {
                var (first, columns) = (g * group, Math.Min(group, k - g * group));
                if (rows < Lanes)
                    work.Tile.AsSpan(0, columns * Lanes).Clear();
                for (var l = 0; l < rows; l++)
                {
                    var source = values.Slice(from + l * k + first, columns);
                    for (var c = 0; c < source.Length; c++)
                        work.Tile[c * Lanes + l] = source[c];
                }

                var found = Find(ref work, columns, g);
                for (var l = 0; l < rows; l++)
                    Keep(work, (firstRow + l) * _groups + g, found, l);
                var sums = new Sums();
                for (var c = 0; c < columns; c++)
                {
                    Round(work.Tile, c, found, ref sums).CopyTo(lane);
                    for (var l = 0; l < rows; l++)
                        work.Codes[from + l * k + first + c] = lane[l];
                }

                work.Add(sums);
            }
        }
    }

    private (Vector512<float> Scale, Vector512<float> Zero) Find(ref Work work, int columns, int g)
    {
        Span<float> found = stackalloc float[2 * Lanes];
        work.Search(work.Tile.AsSpan(0, columns * Lanes), found, columns, g * group);
        var scale = Vector512.Create<float>(found);
        return (work.Halves ? RoundToNearest.Halves(scale) : scale, Vector512.Create<float>(found[Lanes..]));
    }

    private static void Keep(in Work work, int at, (Vector512<float> Scale, Vector512<float> Zero) found, int lane)
    {
        work.Scales[at] = found.Scale[lane];
        if (work.Zeros.Length > 0)
            work.Zeros[at] = (byte)found.Zero[lane];
    }

    /// <summary>The codes of one column of a tile as they are stored: of a symmetric grid as signed numbers.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private Vector128<byte> Round(float[] tile, int column, (Vector512<float> Scale, Vector512<float> Zero) found, ref Sums sums)
    {
        var value = Vector512.LoadUnsafe(ref tile[column * Lanes]);
        var code = RoundToNearest.Code(value, Vector512<float>.One / found.Scale, found.Zero, grid.Top);
        var error = value - (code - found.Zero) * found.Scale;
        sums.Power += value * value;
        sums.Noise += error * error;
        var narrow = RoundKernels.Narrow(Vector512.ConvertToInt32(code));
        return grid.Symmetric ? narrow - Vector128.Create((byte)grid.Zero) & Vector128.Create((byte)((1 << grid.Bits) - 1)) : narrow;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Load(ReadOnlySpan<float> values, Span<float> into)
    {
        if (values.Length == Lanes)
        {
            Vector512.Create(values).StoreUnsafe(ref MemoryMarshal.GetReference(into));
            return;
        }

        into.Clear();
        values.CopyTo(into);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(Vector128<byte> codes, Span<byte> into)
    {
        if (into.Length == Lanes)
        {
            codes.StoreUnsafe(ref MemoryMarshal.GetReference(into));
            return;
        }

        for (var l = 0; l < into.Length; l++)
            into[l] = codes[l];
    }

    private byte[] Packed(byte[] zeros) => zeros.Length == 0 ? zeros : BitPacking.Pack(zeros, grid.Bits);
}
