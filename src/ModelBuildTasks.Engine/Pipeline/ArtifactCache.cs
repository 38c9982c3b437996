using System.Text.Json;
using ModelBuildTasks.Engine.Hashing;

namespace ModelBuildTasks.Engine.Pipeline;

/// <summary>
/// Artifacts by the hash of what made them: <c>&lt;key&gt;/artifact.onnx</c>, its data file and its encoded form where there
/// are such, and <c>&lt;key&gt;/entry.json</c>. An entry appears whole, by the renaming of a folder, so that several processes can share a cache; what is damaged counts as absent.
/// A cache that cannot be read or written slows a build down and never fails it.
/// </summary>
internal sealed class ArtifactCache(string directory)
{
    private const string ArtifactName = "artifact.onnx";
    private const string EntryName = "entry.json";
    private const long MaxEntryBytes = 64L << 20;

    // Of bytes that cannot be compressed, the encoded form is this much larger at most.
    private const long EncodingOverhead = 1L << 20;

    /// <summary>What the names of an artifact's files have behind <c>&lt;Name&gt;.onnx</c>.</summary>
    public static readonly string[] Suffixes = ["", Candidate.DataPath(""), BrotliFile.PathOf("")];

    /// <summary>The files of an artifact as an entry names them.</summary>
    public static IReadOnlyList<CachedFile> Describe(string artifact, CancellationToken cancellation) =>
        [.. Suffixes.Where(s => File.Exists(artifact + s)).Select(s => new CachedFile(s, new FileInfo(artifact + s).Length, ContentHash.OfFiles([artifact + s], cancellation)))];

    /// <summary>Copies the artifact of a key to <paramref name="destination"/> and returns its entry; null when there is none, or none that is whole.</summary>
    /// <param name="key">The key.</param>
    /// <param name="destination">File to write, others beside it; they are there only after a hit.</param>
    /// <param name="maxBytes">No artifact of this key can be larger.</param>
    /// <param name="cancellation">Ends the copy.</param>
    public CacheEntry? TryGet(string key, string destination, long maxBytes, CancellationToken cancellation)
    {
        var folder = Path.Combine(directory, key);
        if (!Directory.Exists(folder))
            return null;
        CacheEntry? entry = null;
        try
        {
            entry = ReadEntry(Path.Combine(folder, EntryName));
            if (entry is not null && !(Fits(entry, maxBytes) && entry.Files.All(f => TryCopy(Path.Combine(folder, ArtifactName + f.Suffix), destination + f.Suffix, f, cancellation))))
                entry = null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or JsonException)
        {
            entry = null;
        }
        finally
        {
            if (entry is null)
                Array.ForEach(Suffixes, s => File.Delete(destination + s));
        }

        if (entry is null)
            Remove(folder);
        return entry;
    }

    /// <summary>Keeps an artifact with all its files. When another process was faster, its entry stays.</summary>
    public void Put(string key, string artifact, CacheEntry entry, CancellationToken cancellation)
    {
        var folder = Path.Combine(directory, key);
        var temporary = Path.Combine(directory, $".{key[..16]}.{Path.GetRandomFileName()}");
        try
        {
            if (Directory.Exists(folder))
                return;
            Directory.CreateDirectory(temporary);
            if (entry.Files.Any(f => ContentHash.Copy(artifact + f.Suffix, Path.Combine(temporary, ArtifactName + f.Suffix), cancellation) != f.Sha256))
                return;
            File.WriteAllText(Path.Combine(temporary, EntryName), entry.ToJson());
            Directory.Move(temporary, folder);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Full disk, read-only folder, or the entry of a faster process: the artifact itself is in place.
        }
        finally
        {
            Remove(temporary);
        }
    }

    private static CacheEntry? ReadEntry(string path) =>
        IsPlainFile(path) && new FileInfo(path).Length <= MaxEntryBytes ? CacheEntry.FromJson(File.ReadAllText(path)) : null;

    private static bool Fits(CacheEntry entry, long maxBytes) =>
        entry.Size <= maxBytes && entry.Files.All(f => Suffixes.Contains(f.Suffix) && f.Size <= maxBytes + EncodingOverhead);

    private static bool TryCopy(string path, string destination, CachedFile file, CancellationToken cancellation) =>
        IsPlainFile(path) && new FileInfo(path).Length == file.Size && ContentHash.Copy(path, destination, cancellation) == file.Sha256;

    // A link could lead out of the cache.
    private static bool IsPlainFile(string path) => new FileInfo(path) is { Exists: true, LinkTarget: null };

    private static void Remove(string folder)
    {
        try
        {
            if (Directory.Exists(folder))
                Directory.Delete(folder, recursive: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Another process uses or removes it.
        }
    }
}
