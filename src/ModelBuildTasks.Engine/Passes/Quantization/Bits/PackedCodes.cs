namespace ModelBuildTasks.Engine.Passes.Quantization.Bits;

/// <summary>Codes, scales and zeros in the order of the weight's tensor: [K groups, N] for a matrix of a product, [rows, groups] for a table.</summary>
/// <param name="Codes">Packed; of a symmetric grid as signed numbers.</param>
/// <param name="Scales">One a group.</param>
/// <param name="Zeros">Packed; empty where the grid is symmetric.</param>
internal sealed record PackedCodes(byte[] Codes, float[] Scales, byte[] Zeros)
{
    /// <summary>The codes of a weight, of a matrix of a product as [K, N] whatever the order in the model was.</summary>
    public static PackedCodes OfProduct(BitWeight weight)
    {
        if (weight.Packed is { } packed)
            return packed;
        var (rows, columns) = (weight.Layout.Rows, weight.Layout.Columns);
        var codes = weight.Layout.RowStride == 1 ? weight.Codes : Transposed(weight.Codes, rows, columns);
        return new(
            BitPacking.Pack(Signed(codes, weight.Grid), weight.Grid.Bits),
            Transposed(weight.Scales, rows, weight.Groups),
            BitPacking.Pack(Transposed(weight.Zeros, rows, weight.Zeros.Length / rows), weight.Grid.Bits));
    }

    /// <summary>The codes of a table.</summary>
    public static PackedCodes OfTable(BitWeight weight) => weight.Packed
        ?? new(BitPacking.Pack(Signed(weight.Codes, weight.Grid), weight.Grid.Bits), weight.Scales, BitPacking.Pack(weight.Zeros, weight.Grid.Bits));

    /// <summary>A matrix turned around.</summary>
    public static T[] Transposed<T>(T[] values, int rows, int columns)
    {
        var result = new T[values.Length];
        for (var r = 0; r < rows; r++)
        {
            for (var c = 0; c < columns; c++)
                result[c * rows + r] = values[r * columns + c];
        }

        return result;
    }

    private static byte[] Signed(byte[] codes, BitGrid grid) => grid.Symmetric ? [.. codes.Select(c => (byte)(c - grid.Zero & (1 << grid.Bits) - 1))] : codes;
}
