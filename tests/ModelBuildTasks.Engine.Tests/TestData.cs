namespace ModelBuildTasks.Engine.Tests;

/// <summary>Real models and data beside the tests; <c>tests/data/README.md</c> has sources and licences.</summary>
internal static class TestData
{
    public static string Path(string relative) => System.IO.Path.Combine(AppContext.BaseDirectory, "data", relative);

    /// <summary>The folder of the solution, under which the samples have their models and data.</summary>
    public static string Root { get; } = Find(AppContext.BaseDirectory);

    private static string Find(string folder) =>
        File.Exists(System.IO.Path.Combine(folder, "ModelBuildTasks.sln")) ? folder
        : Find(System.IO.Path.GetDirectoryName(folder) ?? throw new DirectoryNotFoundException("the tests do not run inside the repository"));
}
