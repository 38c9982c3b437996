namespace ModelBuildTasks.Engine.Manifest;

/// <summary>The photos that a pattern names, for the check of the manifest and for the dataset alike.</summary>
internal static class Photos
{
    private static readonly string[] _extensions = [".jpg", ".jpeg", ".png"];

    /// <summary>Full paths of the files that match a pattern and end in jpg, jpeg or png, in capitals or not, in the order of <see cref="Glob.Expand"/>.</summary>
    /// <exception cref="Diagnostics.ModelBuildException">The pattern leads into too many folders (MBT1006).</exception>
    public static IReadOnlyList<string> Find(string baseDirectory, string pattern) =>
        [.. Glob.Expand(baseDirectory, pattern).Where(f => _extensions.Contains(Path.GetExtension(f), StringComparer.OrdinalIgnoreCase))];
}
