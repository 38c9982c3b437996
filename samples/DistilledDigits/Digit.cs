using System.Buffers.Binary;
using System.IO.Compression;

namespace DistilledDigits;

/// <summary>A handwritten digit: gray values from 0 (paper) to 1 (ink), and what it is.</summary>
internal sealed record Digit(float[] Pixels, int Label)
{
    public const int Side = 28;

    /// <summary>Reads images and labels in the IDX format: big-endian magic and sizes, then bytes.</summary>
    public static IReadOnlyList<Digit> Load(string folder)
    {
        var images = Unzip(Path.Combine(folder, "images-idx3-ubyte.gz"));
        var labels = Unzip(Path.Combine(folder, "labels-idx1-ubyte.gz"));
        var count = BinaryPrimitives.ReadInt32BigEndian(images.AsSpan(4));
        return [.. Enumerable.Range(0, count).Select(i => new Digit(
            images.AsSpan(16 + i * Side * Side, Side * Side).ToArray().Select(b => b / 255f).ToArray(),
            labels[8 + i]))];
    }

    private static byte[] Unzip(string path)
    {
        using var stream = new GZipStream(File.OpenRead(path), CompressionMode.Decompress);
        using var memory = new MemoryStream();
        stream.CopyTo(memory);
        return memory.ToArray();
    }
}
