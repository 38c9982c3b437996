using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Onnx;

/// <summary>Widths of the ONNX element types.</summary>
internal static class ElementTypes
{
    /// <summary>Bits of one element; 0 for strings and unknown types.</summary>
    public static int Bits(DataType type) => type switch
    {
        DataType.Uint2 or DataType.Int2 => 2,
        DataType.Uint4 or DataType.Int4 or DataType.Float4E2M1 => 4,
        DataType.Uint8 or DataType.Int8 or DataType.Bool or DataType.Float8E4M3Fn or DataType.Float8E4M3Fnuz
            or DataType.Float8E5M2 or DataType.Float8E5M2Fnuz or DataType.Float8E8M0 => 8,
        DataType.Uint16 or DataType.Int16 or DataType.Float16 or DataType.Bfloat16 => 16,
        DataType.Float or DataType.Int32 or DataType.Uint32 => 32,
        DataType.Double or DataType.Int64 or DataType.Uint64 or DataType.Complex64 => 64,
        DataType.Complex128 => 128,
        _ => 0,
    };

    /// <summary>Bytes of raw data for <paramref name="count"/> elements.</summary>
    /// <exception cref="OverflowException">More than 2^63 bits.</exception>
    public static long ByteLength(DataType type, long count) => checked((count * Bits(type)) + 7) / 8;

    /// <summary>The name that users know: float32, int8, ...</summary>
    public static string Name(DataType type) => type switch
    {
        DataType.Float => "float32",
        DataType.Double => "float64",
        _ => type.ToString().ToLowerInvariant(),
    };

    /// <summary>Whether the type is float32, float16, bfloat16 or float64.</summary>
    public static bool IsFloat(DataType type) => type is DataType.Float or DataType.Float16 or DataType.Bfloat16 or DataType.Double;

    /// <summary>The number of elements of a shape.</summary>
    /// <exception cref="OverflowException">A negative dimension, or more than 2^63 elements.</exception>
    public static long Count(IEnumerable<long> dims)
    {
        long count = 1;
        foreach (var dim in dims)
            count = dim < 0 ? throw new OverflowException("negative dimension") : checked(count * dim);
        return count;
    }
}
