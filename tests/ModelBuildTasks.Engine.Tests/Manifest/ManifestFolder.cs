using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;

namespace ModelBuildTasks.Engine.Tests.Manifest;

/// <summary>A folder with the files that a manifest names; their contents do not matter to the reader.</summary>
internal sealed class ManifestFolder : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public ManifestFolder(params IEnumerable<string> files)
    {
        foreach (var file in files)
            Add(file);
    }

    public string Path => _folder.Path;

    public string ManifestPath => _folder.File("compression.yaml");

    public string File(string name) => System.IO.Path.GetFullPath(name, _folder.Path);

    public void Add(string file, string content = "")
    {
        Directory.CreateDirectory(System.IO.Path.GetDirectoryName(File(file))!);
        System.IO.File.WriteAllText(File(file), content);
    }

    public Plan Read(string text) => ManifestReader.ReadText(text, ManifestPath, "compression.yaml");

    /// <summary>The errors of a manifest as <c>line:column code message</c>.</summary>
    public IReadOnlyList<string> Errors(string text) =>
        [.. Diagnostics(text).Select(d => $"{d.Location?.Line}:{d.Location?.Column} {d.Code} {d.Message}")];

    public IReadOnlyList<Diagnostic> Diagnostics(string text)
    {
        try
        {
            Read(text);
            return [];
        }
        catch (ModelBuildException wrong)
        {
            return wrong.Diagnostics;
        }
    }

    public void Dispose() => _folder.Dispose();
}
