namespace ModelBuildTasks.Engine.Tests;

/// <summary>Real models and data beside the tests; <c>tests/data/README.md</c> has sources and licences.</summary>
internal static class TestData
{
    public static string Path(string relative) => System.IO.Path.Combine(AppContext.BaseDirectory, "data", relative);

    /// <summary>An empty folder that the test run leaves behind in the system's temporary folder only when it crashes.</summary>
    public static TemporaryFolder Folder() => new();
}

internal sealed class TemporaryFolder : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("mbt-test-").FullName;

    public string File(string name) => System.IO.Path.Combine(Path, name);

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
