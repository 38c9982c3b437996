using System.Buffers.Binary;
using System.IO.Compression;

namespace ModelBuildTasks.Engine.Tests.Data;

/// <summary>Small png files, well-formed unless told otherwise.</summary>
internal static class PngFile
{
    /// <summary>An 8-bit RGB image.</summary>
    public static byte[] Rgb(int width, int height, byte[] pixels)
    {
        var rows = Enumerable.Range(0, height).SelectMany(y => new byte[] { 0 }.Concat(pixels.Skip(y * width * 3).Take(width * 3)));
        return WithData(width, height, [.. rows]);
    }

    /// <summary>An image of whatever filtered rows.</summary>
    public static byte[] WithData(int width, int height, byte[] rows)
    {
        using var packed = new MemoryStream();
        using (var stream = new ZLibStream(packed, CompressionLevel.SmallestSize, leaveOpen: true))
            stream.Write(rows);
        var header = new byte[13];
        BinaryPrimitives.WriteInt32BigEndian(header, width);
        BinaryPrimitives.WriteInt32BigEndian(header.AsSpan(4), height);
        (header[8], header[9]) = (8, 2);
        return [0x89, .. "PNG\r\n"u8, 0x1A, 0x0A, .. Chunk("IHDR"u8, header), .. Chunk("IDAT"u8, packed.ToArray()), .. Chunk("IEND"u8, [])];
    }

    private static byte[] Chunk(ReadOnlySpan<byte> type, byte[] data)
    {
        byte[] chunk = [0, 0, 0, 0, .. type, .. data, 0, 0, 0, 0];
        BinaryPrimitives.WriteInt32BigEndian(chunk, data.Length);
        var crc = 0xFFFFFFFFu;
        foreach (var b in chunk.AsSpan(4, data.Length + 4))
        {
            crc ^= b;
            for (var i = 0; i < 8; i++)
                crc = (crc >> 1) ^ (0xEDB88320u & (0 - (crc & 1)));
        }

        BinaryPrimitives.WriteUInt32BigEndian(chunk.AsSpan(data.Length + 8), ~crc);
        return chunk;
    }
}
