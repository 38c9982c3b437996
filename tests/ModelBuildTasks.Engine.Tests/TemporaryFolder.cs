namespace ModelBuildTasks.Engine.Tests;

/// <summary>An empty folder that the test run leaves behind in the system's temporary folder only when it crashes.</summary>
internal sealed class TemporaryFolder : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("mbt-test-").FullName;

    public string File(string name) => System.IO.Path.Combine(Path, name);

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
