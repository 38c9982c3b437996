namespace ModelBuildTasks.PackageTests;

/// <summary>The package of this source, packed once a run under a version that no cache knows, and a package folder of the run's own.</summary>
[TestClass]
public static class Feed
{
    private static string? s_folder;

    public static string Version { get; } = $"0.1.0-test.t{DateTime.UtcNow:yyyyMMddHHmmss}p{Environment.ProcessId}";

    public static string Folder => s_folder ?? throw new InvalidOperationException("packed in the assembly's initialization");

    public static string Package => Path.Combine(Folder, "feed", $"ModelBuildTasks.{Version}.nupkg");

    /// <summary>Where child builds extract packages.</summary>
    public static string Packages => Path.Combine(Folder, "packages");

    /// <summary>What this machine has restored before; child builds read other packages from there instead of loading them anew.</summary>
    public static string Fallback { get; } = Environment.GetEnvironmentVariable("NUGET_PACKAGES")
        ?? Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".nuget", "packages");

    [AssemblyInitialize]
    public static void Pack(TestContext context)
    {
        var root = Root();
        s_folder = Directory.CreateTempSubdirectory("mbt-package-").FullName;
        var result = DotNet.Run(root, "pack", "src/ModelBuildTasks/ModelBuildTasks.csproj", "-c", "Release", "-nologo", "-v:minimal",
            "--artifacts-path", Path.Combine(root, "artifacts", "package-tests"), "-o", Path.Combine(s_folder, "feed"), $"-p:ModelBuildPackageVersion={Version}");
        Assert.AreEqual(0, result.ExitCode, result.Output);
    }

    [AssemblyCleanup]
    public static void Delete()
    {
        if (s_folder is not null)
            Directory.Delete(s_folder, recursive: true);
    }

    private static string Root()
    {
        var folder = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(folder, "ModelBuildTasks.sln")))
            folder = Path.GetDirectoryName(folder) ?? throw new InvalidOperationException("not below the repository");
        return folder;
    }
}
