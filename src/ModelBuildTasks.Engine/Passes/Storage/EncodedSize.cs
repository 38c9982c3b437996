using System.IO.Compression;

namespace ModelBuildTasks.Engine.Passes.Storage;

/// <summary>Bytes of a payload in the package, where that is encoded.</summary>
internal static class EncodedSize
{
    // As the package is written.
    private const int Quality = 11;
    private const int Window = 24;

    // Of longer payloads so many pieces are tried: the slowest quality takes a second for a megabyte.
    private const int Longest = 1 << 20;
    private const int Pieces = 8;

    /// <summary>Bytes of a payload behind brotli; of a long one an estimate from pieces spread evenly over it.</summary>
    public static long Of(ReadOnlySpan<byte> payload)
    {
        if (payload.Length <= Longest)
            return Encode(payload);
        var sample = new byte[Longest];
        var piece = Longest / Pieces;
        for (var i = 0; i < Pieces; i++)
            payload.Slice((int)((long)(payload.Length - piece) * i / (Pieces - 1)), piece).CopyTo(sample.AsSpan(i * piece));
        return (long)(Encode(sample) * ((double)payload.Length / Longest));
    }

    private static long Encode(ReadOnlySpan<byte> payload)
    {
        var into = new byte[BrotliEncoder.GetMaxCompressedLength(payload.Length)];
        return BrotliEncoder.TryCompress(payload, into, out var written, Quality, Window) ? written : payload.Length;
    }
}
