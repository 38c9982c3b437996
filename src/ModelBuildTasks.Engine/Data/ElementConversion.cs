using System.Numerics;
using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Data;

/// <summary>Values of one element type as values of another, refusing what the other cannot hold.</summary>
internal static class ElementConversion
{
    /// <summary>Whether datasets can be fitted to this type.</summary>
    public static bool Supports(DataType type) => type is DataType.Float or DataType.Float16 or DataType.Double or DataType.Bool || IsInteger(type);

    /// <summary>Whether the type is an 8- to 64-bit integer.</summary>
    public static bool IsInteger(DataType type) => type is DataType.Int8 or DataType.Int16 or DataType.Int32 or DataType.Int64
        or DataType.Uint8 or DataType.Uint16 or DataType.Uint32 or DataType.Uint64;

    /// <summary>Bytes of one element.</summary>
    public static int Size(DataType type) => ElementTypes.Bits(type) / 8;

    /// <summary>Converts all values; floating-point types round, integers must be hit exactly unless <paramref name="round"/>.</summary>
    /// <returns>Null, or why a value cannot be held.</returns>
    public static string? Convert(DataType from, ReadOnlySpan<byte> source, DataType to, Span<byte> destination, bool round = false)
    {
        // A bool in a file may be any byte.
        if (from == to && to != DataType.Bool)
        {
            source.CopyTo(destination);
            return null;
        }

        return from switch
        {
            DataType.Float => From<float>(source, to, destination, round),
            DataType.Float16 => From<Half>(source, to, destination, round),
            DataType.Double => From<double>(source, to, destination, round),
            DataType.Int8 => From<sbyte>(source, to, destination, round),
            DataType.Int16 => From<short>(source, to, destination, round),
            DataType.Int32 => From<int>(source, to, destination, round),
            DataType.Int64 => From<long>(source, to, destination, round),
            DataType.Uint8 or DataType.Bool => From<byte>(source, to, destination, round),
            DataType.Uint16 => From<ushort>(source, to, destination, round),
            DataType.Uint32 => From<uint>(source, to, destination, round),
            DataType.Uint64 => From<ulong>(source, to, destination, round),
            _ => throw new InvalidOperationException($"{from} is no dataset type"),
        };
    }

    private static string? From<T>(ReadOnlySpan<byte> source, DataType to, Span<byte> destination, bool round)
        where T : unmanaged, INumber<T>
    {
        var values = MemoryMarshal.Cast<byte, T>(source);
        return to switch
        {
            DataType.Float => ToFloat<T, float>(values, destination),
            DataType.Float16 => ToFloat<T, Half>(values, destination),
            DataType.Double => ToFloat<T, double>(values, destination),
            DataType.Bool => ToBool(values, destination),
            DataType.Int8 => ToInteger<T, sbyte>(values, destination, to, round),
            DataType.Int16 => ToInteger<T, short>(values, destination, to, round),
            DataType.Int32 => ToInteger<T, int>(values, destination, to, round),
            DataType.Int64 => ToInteger<T, long>(values, destination, to, round),
            DataType.Uint8 => ToInteger<T, byte>(values, destination, to, round),
            DataType.Uint16 => ToInteger<T, ushort>(values, destination, to, round),
            DataType.Uint32 => ToInteger<T, uint>(values, destination, to, round),
            DataType.Uint64 => ToInteger<T, ulong>(values, destination, to, round),
            _ => throw new InvalidOperationException($"{to} is no dataset type"),
        };
    }

    private static string? ToFloat<TFrom, TTo>(ReadOnlySpan<TFrom> values, Span<byte> destination)
        where TFrom : unmanaged, INumber<TFrom> where TTo : unmanaged, INumber<TTo>
    {
        TensorPrimitives.ConvertTruncating(values, MemoryMarshal.Cast<byte, TTo>(destination));
        return null;
    }

    private static string? ToBool<T>(ReadOnlySpan<T> values, Span<byte> destination) where T : unmanaged, INumber<T>
    {
        for (var i = 0; i < values.Length; i++)
            destination[i] = T.IsZero(values[i]) ? (byte)0 : (byte)1;
        return null;
    }

    private static string? ToInteger<TFrom, TTo>(ReadOnlySpan<TFrom> values, Span<byte> destination, DataType to, bool round)
        where TFrom : unmanaged, INumber<TFrom> where TTo : unmanaged, IBinaryInteger<TTo>, IMinMaxValue<TTo>
    {
        var result = MemoryMarshal.Cast<byte, TTo>(destination);
        var fromFloat = typeof(TFrom) == typeof(float) || typeof(TFrom) == typeof(Half) || typeof(TFrom) == typeof(double);
        // The first double above the type: MaxValue itself has no double in 64 bits.
        var limit = Math.ScaleB(1, int.CreateTruncating(TTo.PopCount(TTo.MaxValue)));
        for (var i = 0; i < values.Length; i++)
        {
            if (!fromFloat)
            {
                result[i] = TTo.CreateSaturating(values[i]);
                if (TFrom.CreateTruncating(result[i]) != values[i])
                    return $"the value {values[i]} is outside {ElementTypes.Name(to)}";
                continue;
            }

            var value = double.CreateTruncating(values[i]);
            var whole = Math.Round(value);
            if (whole != value && !round)
                return $"the value {values[i]} is not a whole number, and the type is {ElementTypes.Name(to)}";
            if (!(whole >= double.CreateTruncating(TTo.MinValue) && whole < limit))
                return $"the value {values[i]} is outside {ElementTypes.Name(to)}";
            result[i] = TTo.CreateSaturating(whole);
        }

        return null;
    }
}
