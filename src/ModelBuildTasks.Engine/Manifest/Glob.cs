using ModelBuildTasks.Engine.Diagnostics;

namespace ModelBuildTasks.Engine.Manifest;

/// <summary>File patterns: <c>*</c> and <c>?</c> stand for parts of a name, <c>**</c> for any number of folders.</summary>
internal static class Glob
{
    // ImageNet has some twenty thousand; a pattern that begins at the root of the disk would run for hours.
    private const int MaxFolders = 50_000;

    /// <summary>The files that match a pattern.</summary>
    /// <param name="baseDirectory">The folder that the pattern is relative to.</param>
    /// <param name="pattern">Names with <c>/</c> between them; <c>..</c> and full paths are allowed. Names match exactly, capitals included, on every platform.</param>
    /// <returns>
    /// Full paths, sorted ordinally by the path relative to <paramref name="baseDirectory"/> with <c>/</c> between names. Empty
    /// when nothing matches. Links to folders are followed before the first wildcard only: below it, they may lead in circles.
    /// </returns>
    /// <exception cref="ModelBuildException">The pattern leads into more than 50,000 folders (MBT1006).</exception>
    public static IReadOnlyList<string> Expand(string baseDirectory, string pattern)
    {
        var root = Path.GetFullPath(baseDirectory);
        var (start, segments) = Split(root, pattern);
        var found = new HashSet<string>(StringComparer.Ordinal);
        var visited = new HashSet<(string, int)>();
        var named = segments.TakeWhile(s => !HasWildcard(s)).Count();
        if (segments.Count > 0)
            Walk(start, 0);
        return [.. found.OrderBy(f => Path.GetRelativePath(root, f).Replace('\\', '/'), StringComparer.Ordinal)];

        void Walk(string directory, int at)
        {
            // Several ways of reading a pattern lead to the same folder.
            if (!visited.Add((directory, at)))
                return;
            if (visited.Count > MaxFolders)
                throw TooMany(pattern);
            var segment = segments[at];
            var last = at == segments.Count - 1;
            if (segment == "**")
            {
                foreach (var below in Tree(directory, pattern))
                {
                    if (last)
                        found.UnionWith(Files(below));
                    else
                        Walk(below, at + 1);
                }
            }
            else if (last)
            {
                found.UnionWith(Files(directory).Where(f => Matches(Path.GetFileName(f), segment)));
            }
            else if (segment == "..")
            {
                Walk(Path.GetDirectoryName(directory) ?? directory, at + 1);
            }
            else if (!HasWildcard(segment))
            {
                // A folder that is named may lie in one that cannot be listed.
                if (Path.Combine(directory, segment) is var child && Directory.Exists(child) && (at < named || !IsLink(child)))
                    Walk(child, at + 1);
            }
            else
            {
                foreach (var child in Directories(directory).Where(d => Matches(Path.GetFileName(d), segment)))
                    Walk(child, at + 1);
            }
        }
    }

    // Where the pattern begins, and its names. A full path begins anew: "/data/*.png", "C:/data/*.png".
    private static (string Start, IReadOnlyList<string> Segments) Split(string root, string pattern)
    {
        var segments = new List<string>();
        foreach (var segment in pattern.Split('/').Where(s => s is not ("" or ".")))
        {
            if (segment != "**" || segments.LastOrDefault() != "**")
                segments.Add(segment);
        }

        if (!Path.IsPathRooted(pattern))
            return (root, segments);
        var hasDrive = segments.Count > 0 && OperatingSystem.IsWindows() && segments[0].EndsWith(':');
        return hasDrive ? (segments[0] + "/", segments[1..]) : (Path.GetFullPath("/"), segments);
    }

    // A folder and all below it.
    private static List<string> Tree(string directory, string pattern)
    {
        var folders = new List<string> { directory };
        for (var i = 0; i < folders.Count; i++)
        {
            if (folders.Count > MaxFolders)
                throw TooMany(pattern);
            folders.AddRange(Directories(folders[i]));
        }

        return folders;
    }

    // Only the last * is ever tried again, so that a name is matched in time of its length times the pattern's.
    private static bool Matches(ReadOnlySpan<char> name, ReadOnlySpan<char> pattern)
    {
        var (at, place, star, retry) = (0, 0, -1, 0);
        while (at < name.Length)
        {
            if (place < pattern.Length && pattern[place] == '*')
                (star, retry) = (place++, at);
            else if (place < pattern.Length && (pattern[place] == '?' || pattern[place] == name[at]))
                (at, place) = (at + 1, place + 1);
            else if (star >= 0)
                (place, at) = (star + 1, ++retry);
            else
                return false;
        }

        return pattern[place..].TrimStart('*').IsEmpty;
    }

    private static ModelBuildException TooMany(string pattern) =>
        new(DiagnosticCodes.InvalidValue, $"the pattern '{pattern}' leads into more than {MaxFolders} folders; begin it with the folder that is meant");

    private static IEnumerable<string> Files(string directory) => List(directory, Directory.EnumerateFiles);

    private static IEnumerable<string> Directories(string directory) => List(directory, Directory.EnumerateDirectories).Where(d => !IsLink(d));

    private static bool IsLink(string directory) => new DirectoryInfo(directory).LinkTarget is not null;

    private static bool HasWildcard(string segment) => segment.AsSpan().ContainsAny('*', '?');

    private static List<string> List(string directory, Func<string, IEnumerable<string>> list)
    {
        try
        {
            return [.. list(directory)];
        }
        catch (Exception unreadable) when (unreadable is IOException or UnauthorizedAccessException or ArgumentException)
        {
            return [];
        }
    }
}
