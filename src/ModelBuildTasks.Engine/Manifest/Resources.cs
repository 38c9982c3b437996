namespace ModelBuildTasks.Engine.Manifest;

/// <summary>The YAML files that the engine carries.</summary>
internal static class Resources
{
    /// <summary>Names of the files of a folder, without extension, sorted.</summary>
    public static IReadOnlyList<string> Names(string folder) =>
    [
        .. typeof(Resources).Assembly.GetManifestResourceNames()
            .Where(n => n.StartsWith(folder, StringComparison.Ordinal))
            .Select(n => n[folder.Length..^".yaml".Length])
            .Order(StringComparer.Ordinal),
    ];

    public static string Text(string name)
    {
        using var reader = new StreamReader(typeof(Resources).Assembly.GetManifestResourceStream(name)!);
        return reader.ReadToEnd();
    }
}
