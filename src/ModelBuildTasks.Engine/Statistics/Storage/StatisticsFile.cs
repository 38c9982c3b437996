namespace ModelBuildTasks.Engine.Statistics;

/// <summary>Files of a cache: one that cannot be read counts as absent, one that cannot be written is not there for the next build.</summary>
internal static class StatisticsFile
{
    /// <summary>Reads a file.</summary>
    /// <param name="path">Its path.</param>
    /// <param name="maxBytes">A larger file counts as absent.</param>
    /// <param name="read">Reads it; gives whether it is what it should be.</param>
    /// <returns>Whether it was there, and what it should be.</returns>
    public static bool Read(string path, long maxBytes, Func<FileStream, bool> read)
    {
        try
        {
            // A link could lead out of the cache.
            if (new FileInfo(path) is not { Exists: true, LinkTarget: null } file || file.Length > maxBytes)
                return false;
            using var stream = file.OpenRead();
            // It may have grown in between.
            return stream.Length <= maxBytes && read(stream);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    /// <summary>Writes a file under another name and renames it: it appears whole.</summary>
    public static void Write(string path, Action<FileStream> write)
    {
        var directory = Path.GetDirectoryName(path)!;
        var temporary = Path.Combine(directory, $".{Path.GetRandomFileName()}{Path.GetExtension(path)}");
        try
        {
            Directory.CreateDirectory(directory);
            using (var stream = new FileStream(temporary, FileMode.CreateNew))
                write(stream);
            File.Move(temporary, path, overwrite: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // A full disk or a read-only folder: the next build collects again.
        }
        finally
        {
            Remove(temporary);
        }
    }

    private static void Remove(string path)
    {
        try
        {
            File.Delete(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // It could not be made, either.
        }
    }
}
