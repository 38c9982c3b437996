using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest.Schema;

namespace ModelBuildTasks.Engine.Manifest;

/// <summary>Finds the files that a manifest names and keeps the list of them.</summary>
internal sealed class ManifestFiles
{
    private const int MaxCandidates = 1000;

    private readonly string _shown;
    private readonly DiagnosticBag _errors;
    private readonly SortedSet<string> _all = new(StringComparer.Ordinal);

    public ManifestFiles(string path, string shown, DiagnosticBag errors)
    {
        ManifestPath = Path.GetFullPath(path);
        BaseDirectory = Path.GetDirectoryName(ManifestPath)!;
        _shown = shown;
        _errors = errors;
        _all.Add(ManifestPath);
    }

    /// <summary>Full path of the manifest.</summary>
    public string ManifestPath { get; }

    /// <summary>The folder that paths are relative to.</summary>
    public string BaseDirectory { get; }

    /// <summary>Full paths of all files that were named, sorted.</summary>
    public IReadOnlyList<string> All => [.. _all];

    /// <summary>A file beside the manifest as messages show it.</summary>
    public string Shown(string path) => Path.IsPathRooted(path) ? path : Path.Combine(Path.GetDirectoryName(_shown) ?? "", path);

    /// <summary>The full path of a file that the manifest names; it is an error when it does not exist.</summary>
    /// <param name="path">The path as the manifest has it.</param>
    /// <param name="location">Where it stands.</param>
    /// <param name="what">What the file is, for messages.</param>
    public string File(string path, SourceLocation location, string what)
    {
        var full = Path.GetFullPath(path, BaseDirectory);
        _all.Add(full);
        if (!System.IO.File.Exists(full))
            _errors.Error(DiagnosticCodes.FileNotFound, $"{what} '{path}' does not exist{Hint(full, path)}", location);
        return full;
    }

    /// <summary>Looks for photos that match a pattern; it is an error when there is none.</summary>
    public void Photos(string pattern, SourceLocation location) => Matching(Manifest.Photos.Find, pattern, location, "jpg or png");

    /// <summary>Looks for recordings that match a pattern; it is an error when there is none.</summary>
    public void Recordings(string pattern, SourceLocation location) => Matching(Manifest.Recordings.Find, pattern, location, "wav");

    private void Matching(Func<string, string, IReadOnlyList<string>> find, string pattern, SourceLocation location, string kind)
    {
        IReadOnlyList<string> found;
        try
        {
            found = find(BaseDirectory, pattern);
        }
        catch (ModelBuildException tooMany)
        {
            _errors.Add(tooMany.At(location));
            return;
        }

        _all.UnionWith(found);
        if (found.Count == 0)
            _errors.Error(DiagnosticCodes.FileNotFound, $"the pattern '{pattern}' matches no {kind} file{PatternHint(pattern)}", location);
    }

    private string PatternHint(string pattern)
    {
        if (pattern.Contains('\\'))
            return "; write / between folders";
        var names = pattern.Split('/');
        var fixedPart = string.Join('/', names.TakeWhile(n => !n.AsSpan().ContainsAny('*', '?')));
        var root = pattern.StartsWith('/') ? "/" : BaseDirectory;
        var folder = fixedPart.Length == 0 ? root : Path.GetFullPath(fixedPart, BaseDirectory);
        return Directory.Exists(folder) ? "; names match exactly, capitals included" : $": there is no folder '{fixedPart}'{Hint(folder, fixedPart)}";
    }

    // What is there instead.
    private static string Hint(string full, string written)
    {
        if (Directory.Exists(full))
            return ": it is a folder";
        if (written.Contains('\\') && Path.DirectorySeparatorChar == '/')
            return "; write / between folders";
        var folder = Path.GetDirectoryName(full);
        if (folder is null)
            return "";
        if (!Directory.Exists(folder))
            return $": there is no folder '{Path.GetDirectoryName(written)}'";
        try
        {
            var names = Directory.EnumerateFileSystemEntries(folder).Take(MaxCandidates).Select(f => Path.GetFileName(f)!).ToList();
            return Suggestion.Nearest(Path.GetFileName(full), names) is { } near ? $"; did you mean '{near}'?" : "";
        }
        catch (Exception unreadable) when (unreadable is IOException or UnauthorizedAccessException)
        {
            return "";
        }
    }
}
