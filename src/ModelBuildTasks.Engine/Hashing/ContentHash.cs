using System.Security.Cryptography;
using System.Text;

namespace ModelBuildTasks.Engine.Hashing;

/// <summary>SHA-256 in lower-case hex.</summary>
internal static class ContentHash
{
    private const int BufferBytes = 1 << 20;

    public static string OfText(string text) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)));

    /// <summary>One hash over the files' bytes, one after the other, streaming.</summary>
    public static string OfFiles(IEnumerable<string> paths, CancellationToken cancellation)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (var path in paths)
        {
            using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete, 1);
            Pump(stream, null, hash, cancellation);
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    /// <summary>Copies a file's content, not its attributes, and returns its hash.</summary>
    public static string Copy(string from, string to, CancellationToken cancellation)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        using var source = new FileStream(from, FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete, 1);
        using var target = new FileStream(to, FileMode.Create, FileAccess.Write, FileShare.None, 1);
        Pump(source, target, hash, cancellation);
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private static void Pump(Stream source, Stream? target, IncrementalHash hash, CancellationToken cancellation)
    {
        var buffer = new byte[BufferBytes];
        for (int read; (read = source.Read(buffer)) > 0;)
        {
            cancellation.ThrowIfCancellationRequested();
            hash.AppendData(buffer, 0, read);
            target?.Write(buffer, 0, read);
        }
    }
}
