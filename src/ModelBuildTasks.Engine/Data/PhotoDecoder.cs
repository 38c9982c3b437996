using System.Buffers.Binary;
using System.IO.Compression;
using ModelBuildTasks.Engine.Diagnostics;
using StbImageSharp;

namespace ModelBuildTasks.Engine.Data;

/// <summary>jpg and png files as 8-bit RGB.</summary>
internal static class PhotoDecoder
{
    private const long LargestFile = 1L << 29;

    /// <summary>Decodes a file.</summary>
    /// <exception cref="ModelBuildException">The file cannot be read or is damaged.</exception>
    public static Raster<byte> Read(string path, SourceLocation location) => Guard(path, location, file =>
    {
        if (file.Length > LargestFile)
            throw new FormatException("it is larger than 512 MiB");
        var bytes = new byte[file.Length];
        file.ReadExactly(bytes);
        return Decode(bytes);
    });

    /// <summary>Reads a file's size in pixels.</summary>
    /// <exception cref="ModelBuildException">The file cannot be read or its header is damaged.</exception>
    public static ImageHeader ReadHeader(string path, SourceLocation location) => Guard(path, location, ImageHeader.Read);

    /// <summary>Decodes a file's content.</summary>
    /// <exception cref="FormatException">The content is damaged.</exception>
    public static Raster<byte> Decode(byte[] bytes)
    {
        var header = ImageHeader.Read(new MemoryStream(bytes));
        if (header.IsPng)
            CheckPng(bytes, header);
        else if (bytes.AsSpan().LastIndexOf((ReadOnlySpan<byte>)[0xFF, 0xD9]) < 0)
            throw new FormatException("it is cut off");
        ImageResult image;
        try
        {
            image = ImageResult.FromMemory(bytes, ColorComponents.RedGreenBlue);
        }
        catch (Exception fault) when (fault is not OutOfMemoryException)
        {
            throw new FormatException("it is damaged", fault);
        }

        return image.Width == header.Width && image.Height == header.Height
            ? new(image.Width, image.Height, 3, image.Data)
            : throw new FormatException("it is damaged");
    }

    // The decoder unpacks whatever is packed; a few kilobytes can unpack to gigabytes, so their length is counted first.
    private static void CheckPng(ReadOnlySpan<byte> bytes, ImageHeader header)
    {
        using var packed = new MemoryStream();
        var ended = false;
        for (var rest = bytes[8..]; rest.Length >= 12 && !ended;)
        {
            var length = BinaryPrimitives.ReadUInt32BigEndian(rest);
            if (length > rest.Length - 12)
                break;
            var type = rest.Slice(4, 4);
            if (type.SequenceEqual("IDAT"u8))
                packed.Write(rest.Slice(8, (int)length));
            ended = type.SequenceEqual("IEND"u8);
            rest = rest[(12 + (int)length)..];
        }

        if (!ended)
            throw new FormatException("it is cut off");
        packed.Position = 0;
        // Up to 8 bytes a pixel, a filter byte for each row, and seven times the rows when interlaced.
        var most = (long)header.Width * header.Height * 8 + header.Height * 16L + 64;
        using var unpacked = new ZLibStream(packed, CompressionMode.Decompress);
        var buffer = new byte[1 << 16];
        for (int read; (read = unpacked.Read(buffer)) > 0;)
        {
            if ((most -= read) < 0)
                throw new FormatException("it holds more data than its size says");
        }
    }

    private static T Guard<T>(string path, SourceLocation location, Func<FileStream, T> read)
    {
        try
        {
            using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read);
            return read(file);
        }
        catch (Exception fault) when (fault is FormatException or InvalidDataException || DatasetError.IsFileFault(fault))
        {
            throw DatasetError.Unreadable(path, fault.Message, location, fault);
        }
    }
}
