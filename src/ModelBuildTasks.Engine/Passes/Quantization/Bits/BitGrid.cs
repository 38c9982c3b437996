namespace ModelBuildTasks.Engine.Passes.Quantization.Bits;

/// <summary>
/// The numbers a group of weights may have: scale·(code − zero) for the codes 0 to <see cref="Top"/>.
/// </summary>
/// <param name="Bits">Bits that a code takes.</param>
/// <param name="Symmetric">Whether the zero is the same for all groups.</param>
/// <param name="Top">The largest code.</param>
internal readonly record struct BitGrid(int Bits, bool Symmetric, int Top)
{
    /// <summary>All codes of so many bits.</summary>
    public static BitGrid Of(int bits, bool symmetric) => new(bits, symmetric, (1 << bits) - 1);

    /// <summary>−1, 0 and 1, in two bits.</summary>
    public static BitGrid Ternary { get; } = new(2, true, 2);

    /// <summary>The code of zero where <see cref="Symmetric"/>: as many codes above as below, or one more below.</summary>
    public int Zero => (Top + 1) / 2;
}

/// <summary>What one weight gets.</summary>
/// <param name="Grid">The numbers.</param>
/// <param name="Group">Columns that share a scale; 0 for all.</param>
internal readonly record struct BitChoice(BitGrid Grid, int Group);

/// <summary>A weight as a matrix of output channels and what each of them sums over, wherever its elements are in memory.</summary>
/// <param name="Rows">Output channels, or rows of an embedding.</param>
/// <param name="Columns">K, elements of a row.</param>
/// <param name="RowStride">Elements between rows.</param>
/// <param name="ColumnStride">Elements between columns.</param>
internal readonly record struct RowLayout(int Rows, int Columns, int RowStride, int ColumnStride)
{
    /// <summary>Index of an element in the tensor.</summary>
    public int Index(int row, int column) => row * RowStride + column * ColumnStride;

    /// <summary>Groups of a row.</summary>
    public int Groups(int group) => (Columns + group - 1) / group;

    /// <summary>The rows of a node's weight, or null where they are not evenly spaced.</summary>
    public static RowLayout? Of(NodeWeight weight)
    {
        var dims = weight.Tensor.Dims;
        if (weight.Count > int.MaxValue || weight.Count == 0)
            return null;
        var (count, channels) = ((int)weight.Count, (int)weight.Channels);
        return weight.Node.OpType switch
        {
            "Conv" or "Gather" => new(channels, count / channels, count / channels, 1),
            "MatMul" or "Gemm" when dims.Count == 2 => weight.ChannelAxis == 0 ? new(channels, (int)dims[1], (int)dims[1], 1) : new(channels, (int)dims[0], 1, channels),
            "LSTM" or "GRU" or "RNN" when dims.Count == 3 => new((int)(dims[0] * dims[1]), (int)dims[2], (int)dims[2], 1),
            _ => null,
        };
    }
}

/// <summary>The codes of a weight, with a scale and a zero for each group of a row.</summary>
/// <param name="Layout">Where the elements are.</param>
/// <param name="Grid">The numbers.</param>
/// <param name="Group">Columns that share a scale.</param>
/// <param name="Codes">In the order of the tensor.</param>
/// <param name="Scales">[rows, groups].</param>
/// <param name="Zeros">[rows, groups]; empty where the grid is symmetric.</param>
internal sealed record BitWeight(RowLayout Layout, BitGrid Grid, int Group, byte[] Codes, float[] Scales, byte[] Zeros)
{
    /// <summary>What the file stores, where it was made at once: <see cref="Codes"/>, <see cref="Scales"/> and <see cref="Zeros"/> are empty then.</summary>
    public PackedCodes? Packed { get; init; }

    /// <summary>Number of weights.</summary>
    public long Count => (long)Layout.Rows * Layout.Columns;

    /// <summary>A weight without codes yet.</summary>
    public static BitWeight Empty(RowLayout layout, BitGrid grid, int group)
    {
        group = group <= 0 || group > layout.Columns ? layout.Columns : group;
        var groups = layout.Rows * layout.Groups(group);
        return new(layout, grid, group, new byte[layout.Rows * layout.Columns], new float[groups], grid.Symmetric ? [] : new byte[groups]);
    }

    /// <summary>Groups of a row.</summary>
    public int Groups => Layout.Groups(Group);

    /// <summary>The code of zero of a group.</summary>
    public int Zero(int index) => Grid.Symmetric ? Grid.Zero : Zeros[index];

    /// <summary>The weights that the codes stand for, in the order of the tensor.</summary>
    public float[] Decode()
    {
        var values = new float[Codes.Length];
        for (var row = 0; row < Layout.Rows; row++)
        {
            for (var column = 0; column < Layout.Columns; column++)
            {
                var (at, group) = (Layout.Index(row, column), row * Groups + column / Group);
                values[at] = Scales[group] * (Codes[at] - Zero(group));
            }
        }

        return values;
    }
}
