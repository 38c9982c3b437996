namespace ModelBuildTasks;

/// <summary>An artifact of the last run.</summary>
internal sealed class CompressedModel(string path, string[] fields)
{
    public string Path { get; } = path;

    public string Name { get; } = fields[0];

    public string Size { get; } = fields[1];

    public string OriginalSize { get; } = fields[2];

    public string Sha256 { get; } = fields[3];

    public bool Embedded { get; } = fields[4] == "resource";
}

/// <summary>Reads the worker's file <c>outputs</c>: name, bytes, bytes of the original, hash, and "resource" or "none", between tabs.</summary>
internal static class CompressedModelList
{
    public static IReadOnlyList<CompressedModel> Read(string folder)
    {
        var path = Path.Combine(folder, "outputs");
        return File.Exists(path)
            ? [.. File.ReadAllLines(path).Select(l => l.Split('\t')).Where(f => f.Length == 5).Select(f => new CompressedModel(Path.Combine(folder, f[0] + ".onnx"), f))]
            : [];
    }
}
