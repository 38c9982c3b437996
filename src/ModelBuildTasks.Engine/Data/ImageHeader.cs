using System.Buffers.Binary;

namespace ModelBuildTasks.Engine.Data;

/// <summary>Size of a jpg or png as its header states it, read without decoding.</summary>
/// <param name="IsPng">png, otherwise jpg.</param>
/// <param name="Width">Pixels in a row.</param>
/// <param name="Height">Rows.</param>
internal sealed record ImageHeader(bool IsPng, int Width, int Height)
{
    /// <summary>The most pixels that are decoded.</summary>
    public const long MostPixels = 100_000_000;

    /// <summary>Reads the header.</summary>
    /// <exception cref="FormatException">Not a jpg or png, damaged, or larger than <see cref="MostPixels"/>.</exception>
    public static ImageHeader Read(Stream file)
    {
        var start = new byte[32];
        var length = file.ReadAtLeast(start, start.Length, throwOnEndOfStream: false);
        var bytes = start.AsSpan(0, length);
        ImageHeader header;
        if (bytes.StartsWith((ReadOnlySpan<byte>)[0x89, (byte)'P', (byte)'N', (byte)'G', 0x0D, 0x0A, 0x1A, 0x0A]))
        {
            if (length < 24 || !bytes[12..].StartsWith("IHDR"u8))
                throw new FormatException("its header is damaged");
            header = new(true, Dimension(BinaryPrimitives.ReadUInt32BigEndian(bytes[16..])), Dimension(BinaryPrimitives.ReadUInt32BigEndian(bytes[20..])));
        }
        else if (bytes.StartsWith((ReadOnlySpan<byte>)[0xFF, 0xD8]))
        {
            file.Position = 2;
            header = Jpeg(file);
        }
        else
        {
            throw new FormatException(DatasetError.WrongFormat(bytes, "a jpg or png"));
        }

        return (long)header.Width * header.Height <= MostPixels
            ? header
            : throw new FormatException($"it is {header.Width} x {header.Height} pixels; at most {MostPixels / 1_000_000} megapixels are read");
    }

    // Segments come one behind the other, each with its length, up to the frame header.
    private static ImageHeader Jpeg(Stream file)
    {
        Span<byte> frame = stackalloc byte[5];
        while (true)
        {
            int marker;
            if (file.ReadByte() != 0xFF)
                throw Damaged();
            while ((marker = file.ReadByte()) == 0xFF)
            {
            }

            // Markers without a segment.
            if (marker is 0x01 or >= 0xD0 and <= 0xD7)
                continue;
            if (marker is < 0 or 0xD9 or 0xDA)
                throw Damaged();
            var length = (file.ReadByte() << 8) | file.ReadByte();
            if (length < 2)
                throw Damaged();
            var next = file.Position + length - 2;
            if (marker is >= 0xC0 and <= 0xCF and not (0xC4 or 0xC8 or 0xCC))
            {
                if (file.ReadAtLeast(frame, frame.Length, throwOnEndOfStream: false) < frame.Length)
                    throw Damaged();
                return new(false, Dimension(BinaryPrimitives.ReadUInt16BigEndian(frame[3..])), Dimension(BinaryPrimitives.ReadUInt16BigEndian(frame[1..])));
            }

            if (next > file.Length)
                throw Damaged();
            file.Position = next;
        }
    }

    private static int Dimension(uint value) => value is > 0 and <= 1 << 24 ? (int)value : throw Damaged();

    private static FormatException Damaged() => new("its header is damaged");
}
