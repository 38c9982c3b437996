using System.Buffers.Binary;

namespace ModelBuildTasks.Engine.Data;

/// <summary>How the sound of a wav file is stored.</summary>
/// <param name="Rate">Samples a second.</param>
/// <param name="Channels">Channels; their samples of one moment lie behind each other.</param>
/// <param name="Bits">Bits of one channel's sample: 8 (unsigned), 16, 24 or 32.</param>
/// <param name="IsFloat">Whether samples are float32 instead of integers.</param>
/// <param name="DataOffset">Where the samples begin in the file.</param>
/// <param name="Count">Samples of each channel.</param>
internal sealed record WavFormat(int Rate, int Channels, int Bits, bool IsFloat, long DataOffset, long Count)
{
    // A list of chunks is as long as its file; the sound of no recorder comes behind so many others.
    private const int MostChunks = 1000;
    private const int MostChannels = 256;

    /// <summary>Bytes of one moment: a sample of each channel.</summary>
    public int FrameBytes => Channels * Bits / 8;

    // A GUID of WAVE_FORMAT_EXTENSIBLE behind the two bytes that hold the plain format's number.
    private static ReadOnlySpan<byte> SubFormatTail => [0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xAA, 0, 0x38, 0x9B, 0x71];

    /// <summary>Reads the headers: RIFF, then chunks up to the data.</summary>
    /// <param name="read">Reads bytes at an offset; fewer are given at the file's end.</param>
    /// <param name="length">Bytes of the file.</param>
    /// <exception cref="FormatException">Not a wav file, damaged, or of an encoding that is not read; the message says which.</exception>
    public static WavFormat Read(Func<long, byte[], int> read, long length)
    {
        // As much as tells a pointer of Git LFS.
        var start = new byte[32];
        var got = read(0, start);
        if (got < 12 || !start.AsSpan().StartsWith("RIFF"u8) || !start.AsSpan(8).StartsWith("WAVE"u8))
            throw new FormatException(DatasetError.WrongFormat(start.AsSpan(0, got), "a wav file (RIFF/WAVE)"));
        var end = 8 + (long)BinaryPrimitives.ReadUInt32LittleEndian(start.AsSpan(4));
        if (end > length)
            throw new FormatException($"its header says that it has {end} bytes, and it has {length}");
        (int Rate, int Channels, int Bits, bool IsFloat)? sound = null;
        var header = new byte[8];
        long at = 12;
        for (var chunk = 0; at + 8 <= end; chunk++)
        {
            if (chunk == MostChunks)
                throw new FormatException($"it has no 'data' among its first {MostChunks} chunks");
            Fill(read, at, header);
            var name = System.Text.Encoding.Latin1.GetString(header, 0, 4);
            long size = BinaryPrimitives.ReadUInt32LittleEndian(header.AsSpan(4));
            at += 8;
            if (size > end - at)
                throw new FormatException($"its chunk '{Printable(name)}' says that it has {size} bytes, and only {end - at} are left");
            if (name == "fmt ")
            {
                var bytes = new byte[Math.Min(size, 40)];
                Fill(read, at, bytes);
                sound = Sound(bytes);
            }
            else if (name == "data")
            {
                if (sound is not { } s)
                    throw new FormatException("its sound comes before the chunk 'fmt ' that describes it");
                var format = new WavFormat(s.Rate, s.Channels, s.Bits, s.IsFloat, at, 0);
                return size % format.FrameBytes == 0
                    ? format with { Count = size / format.FrameBytes }
                    : throw new FormatException($"its {size} bytes of sound are no whole number of samples of {format.FrameBytes} bytes");
            }

            // Chunks begin at even places.
            at += size + (size & 1);
        }

        throw new FormatException("it has no chunk 'data'");
    }

    private static (int Rate, int Channels, int Bits, bool IsFloat) Sound(ReadOnlySpan<byte> fmt)
    {
        if (fmt.Length < 16)
            throw new FormatException($"its chunk 'fmt ' has {fmt.Length} bytes, and 16 are the least");
        var tag = BinaryPrimitives.ReadUInt16LittleEndian(fmt);
        var channels = BinaryPrimitives.ReadUInt16LittleEndian(fmt[2..]);
        var rate = BinaryPrimitives.ReadUInt32LittleEndian(fmt[4..]);
        var frame = BinaryPrimitives.ReadUInt16LittleEndian(fmt[12..]);
        var bits = BinaryPrimitives.ReadUInt16LittleEndian(fmt[14..]);
        if (tag == 0xFFFE)
        {
            if (fmt.Length < 40 || !fmt[26..40].SequenceEqual(SubFormatTail))
                throw new FormatException("its extended format is not one of PCM or float");
            tag = BinaryPrimitives.ReadUInt16LittleEndian(fmt[24..]);
        }

        if (!(tag == 1 && bits is (8 or 16 or 24 or 32)) && !(tag == 3 && bits == 32))
            throw new FormatException($"it is {Name(tag, bits)}; PCM of 8, 16, 24 or 32 bits and float of 32 bits are read");
        if (channels is 0 or > MostChannels)
            throw new FormatException($"it has {channels} channels; 1 to {MostChannels} are read");
        if (rate is 0 or > int.MaxValue)
            throw new FormatException($"it has {rate} samples a second");
        return frame == channels * bits / 8
            ? ((int)rate, channels, bits, tag == 3)
            : throw new FormatException($"its header says {frame} bytes for {channels} samples of {bits} bits");
    }

    private static string Name(int tag, int bits) => tag switch
    {
        1 => $"PCM of {bits} bits",
        3 => $"float of {bits} bits",
        _ => $"of encoding {tag}",
    };

    private static string Printable(string name) => string.Concat(name.Select(c => c is >= ' ' and <= '~' ? c : '?'));

    private static void Fill(Func<long, byte[], int> read, long at, byte[] target)
    {
        if (read(at, target) < target.Length)
            throw new FormatException("it ends within its header");
    }
}
