using System.Text;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest.Yaml;

namespace ModelBuildTasks.Engine.Manifest;

/// <summary>Reads YAML files from the disk.</summary>
internal static class TextFile
{
    private static readonly UTF8Encoding Strict = new(false, true);

    /// <summary>The text of a file; UTF-8, or UTF-16 with a byte order mark.</summary>
    /// <param name="path">The file.</param>
    /// <param name="shown">The file as locations show it.</param>
    /// <exception cref="ModelBuildException">The file is missing (MBT1009), unreadable, too large or not text (MBT1001).</exception>
    public static string Read(string path, string shown)
    {
        byte[] bytes;
        try
        {
            if (!File.Exists(path))
                throw new ModelBuildException(DiagnosticCodes.FileNotFound, Directory.Exists(path) ? "this is a folder, not a file" : "the file does not exist", new(shown));
            using var stream = File.OpenRead(path);
            if (stream.CanSeek && stream.Length > YamlText.MaxLength)
                throw TooLarge(shown);
            using var content = new MemoryStream();
            var buffer = new byte[81920];
            // Pipes and devices have no length; they are read up to the limit.
            while (content.Length <= YamlText.MaxLength && stream.Read(buffer) is > 0 and var count)
                content.Write(buffer, 0, count);
            if (content.Length > YamlText.MaxLength)
                throw TooLarge(shown);
            bytes = content.ToArray();
        }
        catch (Exception unreadable) when (unreadable is IOException or UnauthorizedAccessException)
        {
            throw new ModelBuildException(DiagnosticCodes.FileNotFound, $"the file cannot be read: {unreadable.Message}", new(shown), unreadable);
        }

        return Decode(bytes, shown);
    }

    private static string Decode(byte[] bytes, string shown)
    {
        if (bytes.AsSpan().StartsWith(Encoding.Unicode.Preamble) || bytes.AsSpan().StartsWith(Encoding.BigEndianUnicode.Preamble))
            return (bytes[0] == 0xFF ? Encoding.Unicode : Encoding.BigEndianUnicode).GetString(bytes, 2, bytes.Length - 2);
        var start = bytes.AsSpan().StartsWith(Encoding.UTF8.Preamble) ? 3 : 0;
        try
        {
            return Strict.GetString(bytes, start, bytes.Length - start);
        }
        catch (DecoderFallbackException invalid)
        {
            var before = bytes.AsSpan(start, invalid.Index);
            var line = 1 + before.Count((byte)'\n');
            var column = before.Length - before.LastIndexOf((byte)'\n');
            throw new ModelBuildException(DiagnosticCodes.ManifestSyntax, "this is not a text in UTF-8", new(shown, line, column, line, column + 1), invalid);
        }
    }

    private static ModelBuildException TooLarge(string shown) =>
        new(DiagnosticCodes.ManifestSyntax, $"the file is larger than the {YamlText.MaxLength / 1_000_000} MB that a manifest may have", new(shown, 1, 1, 1, 2));
}
