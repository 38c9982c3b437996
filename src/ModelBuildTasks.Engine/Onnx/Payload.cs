using System.Buffers;
using System.Security.Cryptography;
using Microsoft.Win32.SafeHandles;

namespace ModelBuildTasks.Engine.Onnx;

/// <summary>The values of one tensor as ONNX raw data: little-endian, row-major, 4- and 2-bit types packed low bits first. Immutable.</summary>
internal abstract class Payload
{
    private const int PartBytes = 1 << 18;
    private const int SampleBytes = 256;

    private string? _hash;

    /// <summary>Bytes of raw data.</summary>
    public abstract long Length { get; }

    /// <summary>Copies <paramref name="destination"/>.Length bytes that start at <paramref name="offset"/>.</summary>
    /// <exception cref="Diagnostics.ModelBuildException">The file behind the payload ended early or is damaged.</exception>
    public abstract void Read(long offset, Span<byte> destination);

    /// <summary>All bytes, in a new array.</summary>
    /// <param name="tensor">Whose they are, for the error when they are too many.</param>
    public byte[] ToArray(TensorProto? tensor = null)
    {
        var bytes = GC.AllocateUninitializedArray<byte>(TooLarge.Checked(Length, tensor));
        Read(0, bytes);
        return bytes;
    }

    /// <summary>SHA-256 of all bytes, in lower-case hex. Computed once.</summary>
    public string Hash() => _hash ??= ComputeHash();

    /// <summary>The same for payloads with the same beginning, middle and end: most that differ are told apart by it, at the cost of three short reads.</summary>
    public ulong Fingerprint()
    {
        // FNV-1a.
        var print = 14695981039346656037;
        Span<byte> sample = stackalloc byte[SampleBytes];
        foreach (var at in new[] { 0, Length / 2, Math.Max(0, Length - SampleBytes) })
        {
            var part = sample[..(int)Math.Min(SampleBytes, Length - at)];
            Read(at, part);
            foreach (var value in part)
                print = (print ^ value) * 1099511628211;
        }

        return print;
    }

    private string ComputeHash()
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (var part in Parts())
            hash.AppendData(part.Span);
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    /// <summary>Streams all bytes without holding more than a buffer of them.</summary>
    public virtual void CopyTo(Stream destination)
    {
        foreach (var part in Parts())
            destination.Write(part.Span);
    }

    // One buffer: each part is gone when the next is asked for.
    private IEnumerable<ReadOnlyMemory<byte>> Parts()
    {
        var buffer = ArrayPool<byte>.Shared.Rent((int)Math.Min(Length, PartBytes));
        try
        {
            for (long offset = 0; offset < Length; offset += PartBytes)
            {
                var part = buffer.AsMemory(0, (int)Math.Min(PartBytes, Length - offset));
                Read(offset, part.Span);
                yield return part;
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }
}

/// <summary>A payload that a pass computed.</summary>
internal sealed class MemoryPayload(ReadOnlyMemory<byte> bytes) : Payload
{
    public override long Length => bytes.Length;

    public override void Read(long offset, Span<byte> destination) =>
        bytes.Span.Slice(checked((int)offset), destination.Length).CopyTo(destination);

    public override void CopyTo(Stream destination) => destination.Write(bytes.Span);
}

/// <summary>Raw bytes at one place of a file: <c>raw_data</c>, packed <c>float_data</c> and <c>double_data</c>, or external data.</summary>
internal sealed class FilePayload(SourceFile file, long offset, long length) : Payload
{
    public override long Length => length;

    public override void Read(long start, Span<byte> destination)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(start + destination.Length, length);
        file.Read(offset + start, destination);
    }
}

/// <summary>An open, read-only file that payloads point into.</summary>
internal sealed class SourceFile : IDisposable
{
    private readonly SafeFileHandle? _handle;

    public SourceFile(string path)
    {
        Path = path;
        // A pipe has no length either, and opening one could wait for ever.
        if (new FileInfo(path) is { Exists: true, Length: 0 })
            return;
        _handle = File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete);
        Length = RandomAccess.GetLength(_handle);
    }

    public string Path { get; }

    public long Length { get; }

    public void Read(long offset, Span<byte> destination)
    {
        while (destination.Length > 0)
        {
            var read = _handle is null ? 0 : RandomAccess.Read(_handle, destination, offset);
            if (read == 0)
                throw new Diagnostics.ModelBuildException(Diagnostics.DiagnosticCodes.DamagedModel, $"'{Path}' ended while its tensors were read");
            destination = destination[read..];
            offset += read;
        }
    }

    public void Dispose() => _handle?.Dispose();
}
