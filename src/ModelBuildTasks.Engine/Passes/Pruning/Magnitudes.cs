using System.Numerics;
using System.Runtime.InteropServices;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.Pruning;

/// <summary>
/// Clears the values of least magnitude. IEEE floats of one sign are ordered as their bits are, so that the bits without the
/// sign are the sort key for each width, and infinities and NaN are the largest.
/// </summary>
internal static class Magnitudes
{
    /// <summary>Makes so many values of least magnitude zero; of equal ones those that come first. The array is edited in place.</summary>
    public static PrunedWeight Prune(byte[] raw, DataType type, long clear) => type switch
    {
        DataType.Float => Prune<uint>(raw, clear, bits => BitConverter.UInt32BitsToSingle(bits)),
        DataType.Float16 => Prune<ushort>(raw, clear, bits => (double)BitConverter.UInt16BitsToHalf(bits)),
        DataType.Bfloat16 => Prune<ushort>(raw, clear, bits => BitConverter.UInt32BitsToSingle((uint)bits << 16)),
        DataType.Double => Prune<ulong>(raw, clear, bits => BitConverter.UInt64BitsToDouble(bits)),
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, "not a float type"),
    };

    private static PrunedWeight Prune<T>(byte[] raw, long most, Func<T, double> value) where T : unmanaged, IBinaryInteger<T>, IMinMaxValue<T>, IUnsignedNumber<T>
    {
        var bits = MemoryMarshal.Cast<byte, T>(raw.AsSpan());
        var clear = (int)Math.Clamp(most, 0, bits.Length);
        var magnitude = T.MaxValue >>> 1;
        double signal = 0, noise = 0;
        long cleared = 0, zeros = 0;
        var (threshold, ties) = clear == 0 ? (T.Zero, 0) : Select(bits, magnitude, clear);
        for (var i = 0; i < bits.Length; i++)
        {
            var key = bits[i] & magnitude;
            if (key == T.Zero)
            {
                zeros++;
                // A zero at the threshold takes one of its places.
                if (threshold == T.Zero && ties > 0)
                    ties--;
                continue;
            }

            var x = value(bits[i]);
            signal += x * x;
            if (key < threshold || key == threshold && ties-- > 0)
            {
                noise += x * x;
                bits[i] = T.Zero;
                cleared++;
                zeros++;
            }
        }

        return new PrunedWeight(raw, bits.Length, cleared, zeros, PrunedWeight.Decibels(signal, noise));
    }

    /// <summary>Makes the values of a mask zero. The array is edited in place.</summary>
    public static PrunedWeight Clear(byte[] raw, DataType type, bool[] mask) => type switch
    {
        DataType.Float => Clear<uint>(raw, mask, bits => BitConverter.UInt32BitsToSingle(bits)),
        DataType.Float16 => Clear<ushort>(raw, mask, bits => (double)BitConverter.UInt16BitsToHalf(bits)),
        DataType.Bfloat16 => Clear<ushort>(raw, mask, bits => BitConverter.UInt32BitsToSingle((uint)bits << 16)),
        DataType.Double => Clear<ulong>(raw, mask, bits => BitConverter.UInt64BitsToDouble(bits)),
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, "not a float type"),
    };

    private static PrunedWeight Clear<T>(byte[] raw, bool[] mask, Func<T, double> value) where T : unmanaged, IBinaryInteger<T>
    {
        var bits = MemoryMarshal.Cast<byte, T>(raw.AsSpan());
        double signal = 0, noise = 0;
        long cleared = 0, zeros = 0;
        for (var i = 0; i < bits.Length; i++)
        {
            var x = value(bits[i]);
            signal += x * x;
            zeros += mask[i] || x == 0 ? 1 : 0;
            if (!mask[i])
                continue;
            noise += x * x;
            cleared += x != 0 ? 1 : 0;
            bits[i] = T.Zero;
        }

        return new PrunedWeight(raw, bits.Length, cleared, zeros, PrunedWeight.Decibels(signal, noise));
    }

    /// <summary>
    /// The key of the value of the given rank (1 is the least), and how many values with that very key are among the first
    /// <paramref name="rank"/>. A radix selection: one histogram for each 16 bits, from the top, so that it is linear in the count.
    /// </summary>
    private static (T Key, int Ties) Select<T>(ReadOnlySpan<T> bits, T mask, int rank) where T : unmanaged, IBinaryInteger<T>
    {
        var prefix = T.Zero;
        var known = T.Zero;
        var left = rank;
        var counts = new int[1 << 16];
        for (var shift = 8 * Marshal.SizeOf<T>() - 16; shift >= 0; shift -= 16)
        {
            Array.Clear(counts);
            foreach (var item in bits)
            {
                var key = item & mask;
                if ((key & known) == prefix)
                    counts[int.CreateTruncating(key >>> shift) & 0xFFFF]++;
            }

            var digit = 0;
            while (counts[digit] < left)
                left -= counts[digit++];
            prefix |= T.CreateTruncating(digit) << shift;
            known |= T.CreateTruncating(0xFFFF) << shift;
        }

        return (prefix, left);
    }
}
