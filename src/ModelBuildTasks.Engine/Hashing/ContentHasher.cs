using System.Buffers.Binary;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace ModelBuildTasks.Engine.Hashing;

/// <summary>SHA-256 over parts that cannot run into each other.</summary>
internal sealed class ContentHasher : IDisposable
{
    private readonly IncrementalHash _hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);

    public void Add(string text) => Add(Encoding.UTF8.GetBytes(text));

    public void Add(IFormattable value) => Add(value.ToString(value is double or float ? "R" : null, CultureInfo.InvariantCulture));

    public void Add(IEnumerable<double> values) => Add(string.Join(' ', values.Select(v => v.ToString("R", CultureInfo.InvariantCulture))));

    public void Add(IEnumerable<long> values) => Add(string.Join(' ', values));

    public void Add(ReadOnlySpan<byte> bytes)
    {
        AddLength(bytes.Length);
        _hash.AppendData(bytes);
    }

    /// <summary>Adds a file's content; its name does not count.</summary>
    /// <exception cref="IOException">It cannot be read; like any other way in which opening a file ends.</exception>
    public void AddFile(string path)
    {
        using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, 1);
        AddLength(file.Length);
        var buffer = new byte[1 << 16];
        for (int read; (read = file.Read(buffer)) > 0;)
            _hash.AppendData(buffer, 0, read);
    }

    public string Finish() => Convert.ToHexStringLower(_hash.GetHashAndReset());

    public void Dispose() => _hash.Dispose();

    private void AddLength(long length)
    {
        Span<byte> bytes = stackalloc byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(bytes, length);
        _hash.AppendData(bytes);
    }
}
