using System.Buffers;
using System.IO.Compression;
using System.Security.Cryptography;
using ModelBuildTasks.Engine.Diagnostics;

namespace ModelBuildTasks.Engine.Pipeline;

/// <summary>Files compressed with Brotli (RFC 7932), at its best and slowest: they are written once and read often.</summary>
internal static class BrotliFile
{
    public const string Extension = ".br";

    private const int Quality = 11;

    /// <summary>What the encoder is fed at a time; part of what decides the bytes.</summary>
    private const int ChunkBytes = 1 << 18;

    /// <summary>The logarithms of the window that RFC 7932 allows.</summary>
    private const int SmallestWindow = 10, LargestWindow = 24;

    public static string PathOf(string path) => path + Extension;

    /// <summary>Writes <c>path.br</c>; the same bytes give the same bytes.</summary>
    /// <param name="path">The file to compress.</param>
    /// <param name="progress">Told the share that is done.</param>
    /// <param name="cancellation">Ends the work.</param>
    /// <exception cref="ModelBuildException">MBT2007: it cannot be written.</exception>
    public static void Compress(string path, Action<double> progress, CancellationToken cancellation) =>
        Failures.Writing(PathOf(path), () =>
        {
            using var source = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, 1);
            using var target = new FileStream(PathOf(path), FileMode.Create, FileAccess.Write, FileShare.None, 1 << 16);
            using var encoder = new BrotliEncoder(Quality, Window(source.Length));
            Encode(encoder, source, target, progress, cancellation);
        });

    /// <summary>SHA-256 of what a file decodes to, in hex.</summary>
    /// <exception cref="InvalidDataException">It is no whole Brotli stream.</exception>
    public static string HashOfContent(string path, CancellationToken cancellation)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        using var stream = new BrotliStream(File.OpenRead(path), CompressionMode.Decompress);
        var buffer = new byte[ChunkBytes];
        for (int read; (read = stream.Read(buffer)) > 0;)
        {
            cancellation.ThrowIfCancellationRequested();
            hash.AppendData(buffer, 0, read);
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    /// <summary>The smallest window that reaches over the whole file: a larger one costs memory where it is decoded and saves nothing.</summary>
    internal static int Window(long length)
    {
        var window = SmallestWindow;
        while (window < LargestWindow && (1L << window) - 16 < length)
            window++;
        return window;
    }

    private static void Encode(BrotliEncoder encoder, FileStream source, FileStream target, Action<double> progress, CancellationToken cancellation)
    {
        var input = new byte[ChunkBytes];
        var output = new byte[ChunkBytes];
        for (var last = false; !last;)
        {
            cancellation.ThrowIfCancellationRequested();
            var count = source.ReadAtLeast(input, input.Length, throwOnEndOfStream: false);
            last = count < input.Length;
            var rest = input.AsSpan(0, count);
            OperationStatus status;
            do
            {
                status = encoder.Compress(rest, output, out var consumed, out var written, isFinalBlock: last);
                if (status == OperationStatus.InvalidData)
                    throw new InvalidOperationException("the Brotli encoder failed");
                target.Write(output, 0, written);
                rest = rest[consumed..];
            }
            while (status == OperationStatus.DestinationTooSmall || rest.Length > 0);
            progress(source.Length == 0 ? 1 : (double)source.Position / source.Length);
        }
    }
}
