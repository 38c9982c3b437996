namespace ModelBuildTasks.Engine.Manifest;

/// <summary>The recordings that a pattern names, for the check of the manifest and for the dataset alike.</summary>
internal static class Recordings
{
    private static readonly string[] _extensions = [".wav", ".wave"];

    /// <summary>Full paths of the files that match a pattern and end in wav or wave, in capitals or not, in the order of <see cref="Glob.Expand"/>.</summary>
    /// <exception cref="Diagnostics.ModelBuildException">The pattern leads into too many folders (MBT1006).</exception>
    public static IReadOnlyList<string> Find(string baseDirectory, string pattern) =>
        [.. Glob.Expand(baseDirectory, pattern).Where(f => _extensions.Contains(Path.GetExtension(f), StringComparer.OrdinalIgnoreCase))];
}
