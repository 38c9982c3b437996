using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace ModelBuildTasks.Engine.Passes.Quantization.Bits;

/// <summary>Codes of 1, 2, 4 or 8 bits in bytes, the first in the low bits, as ONNX and MatMulNBits store them.</summary>
internal static class BitPacking
{
    /// <summary>The widths in which codes of so many bits are stored, the lowest bits first: 3 as 2 and 1.</summary>
    public static IReadOnlyList<int> Fields(int bits) => [.. new[] { 8, 4, 2, 1 }.Where(width => (bits & width) != 0)];

    /// <summary>Bytes of so many codes.</summary>
    public static long Length(long count, int bits) => Fields(bits).Sum(width => (count * width + 7) / 8);

    /// <summary>Packs <paramref name="width"/> bits of each code, those from <paramref name="shift"/> on.</summary>
    public static byte[] Pack(ReadOnlySpan<byte> codes, int width, int shift = 0)
    {
        var packed = new byte[Length(codes.Length, width)];
        Pack(codes, width, shift, packed);
        return packed;
    }

    /// <summary>The same into bytes that are there.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Pack(ReadOnlySpan<byte> codes, int width, int shift, Span<byte> packed)
    {
        var per = 8 / width;
        var mask = (byte)((1 << width) - 1);
        var at = 0;
        if (width == 4 && shift == 0)
        {
            for (; at <= codes.Length - 32; at += 32)
            {
                // Pairs of bytes as one number: the low four bits of both, side by side.
                var pairs = Vector256.LoadUnsafe(ref MemoryMarshal.GetReference(codes), (nuint)at).AsUInt16();
                var low = pairs & Vector256.Create((ushort)0x000F) | Vector256.ShiftRightLogical(pairs, 4) & Vector256.Create((ushort)0x00F0);
                Vector128.Narrow(low.GetLower(), low.GetUpper()).StoreUnsafe(ref MemoryMarshal.GetReference(packed), (nuint)(at / 2));
            }
        }

        for (; at < codes.Length; at += per)
        {
            var value = 0;
            for (var i = 0; i < Math.Min(per, codes.Length - at); i++)
                value |= (codes[at + i] >> shift & mask) << i * width;
            packed[at / per] = (byte)value;
        }
    }
}
