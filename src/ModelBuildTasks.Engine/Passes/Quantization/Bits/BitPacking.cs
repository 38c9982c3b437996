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
        var per = 8 / width;
        var mask = (1 << width) - 1;
        var packed = new byte[(codes.Length + per - 1) / per];
        if (width == 4 && shift == 0)
        {
            for (var i = 0; i < codes.Length / 2; i++)
                packed[i] = (byte)(codes[2 * i] & 15 | codes[2 * i + 1] << 4);
            if (codes.Length % 2 != 0)
                packed[^1] = (byte)(codes[^1] & 15);
            return packed;
        }

        for (var i = 0; i < codes.Length; i++)
            packed[i / per] |= (byte)((codes[i] >> shift & mask) << i % per * width);
        return packed;
    }
}
