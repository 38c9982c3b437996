using System.Buffers.Binary;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Data;

/// <summary>The header of IDX files, the format in which MNIST was published: two zero bytes, type, rank, dimensions; big-endian.</summary>
internal static class IdxHeader
{
    private const int HighestRank = 32;

    /// <summary>Bytes at a file's start that hold every header that is read.</summary>
    public const int Reach = 4 + 4 * HighestRank;

    /// <summary>Reads the header.</summary>
    /// <param name="start">The file's first bytes: all of them, or <see cref="Reach"/>.</param>
    /// <exception cref="FormatException">Not a header; the message says why.</exception>
    public static ArrayFormat Read(ReadOnlySpan<byte> start)
    {
        if (start.Length < 4 || start[0] != 0 || start[1] != 0)
            throw new FormatException(DatasetError.WrongFormat(start, "an IDX file"));
        var type = start[2] switch
        {
            0x08 => DataType.Uint8,
            0x09 => DataType.Int8,
            0x0B => DataType.Int16,
            0x0C => DataType.Int32,
            0x0D => DataType.Float,
            0x0E => DataType.Double,
            var code => throw new FormatException($"its type code 0x{code:X2} is not one of IDX's"),
        };
        int rank = start[3];
        if (rank > HighestRank)
            throw new FormatException($"it has {rank} dimensions; at most {HighestRank} are read");
        if (start.Length < 4 + 4 * rank)
            throw new FormatException("it ends within its header");
        var shape = new long[rank];
        for (var i = 0; i < rank; i++)
            shape[i] = BinaryPrimitives.ReadUInt32BigEndian(start[(4 + 4 * i)..]);
        return new(type, shape, 4 + 4 * rank, BigEndian: true, ColumnMajor: false);
    }
}
