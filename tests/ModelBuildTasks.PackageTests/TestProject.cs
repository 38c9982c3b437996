using Microsoft.Build.Logging.StructuredLogger;
using Task = Microsoft.Build.Logging.StructuredLogger.Task;

namespace ModelBuildTasks.PackageTests;

/// <summary>A project of a user's, in an empty folder outside the repository, with nothing but the package reference.</summary>
internal sealed class TestProject : IDisposable
{
    private int _builds;

    public TestProject(string properties = "<TargetFramework>net10.0</TargetFramework><OutputType>Exe</OutputType>", string items = "", string folderName = "app")
    {
        Root = Directory.CreateTempSubdirectory("mbt-app-").FullName;
        Folder = Directory.CreateDirectory(Path.Combine(Root, folderName)).FullName;
        Write("App.csproj", $"""
            <Project Sdk="Microsoft.NET.Sdk">
              <PropertyGroup>
                <TreatWarningsAsErrors>true</TreatWarningsAsErrors>
                <!-- NU1603: an old version that ONNX Runtime names is not on every feed. NU1507, NU1900: the machine's sources. -->
                <NoWarn>$(NoWarn);NU1603;NU1507;NU1900</NoWarn>
                {properties}
              </PropertyGroup>
              <ItemGroup>
                <PackageReference Include="ModelBuildTasks" Version="{Feed.Version}" PrivateAssets="all" />
                {items}
              </ItemGroup>
            </Project>
            """);
        Write("NuGet.config", $"""
            <configuration>
              <packageSources><add key="packed" value="{Path.GetDirectoryName(Feed.Package)}" /></packageSources>
              <fallbackPackageFolders><add key="machine" value="{Feed.Fallback}" /></fallbackPackageFolders>
              <config><add key="globalPackagesFolder" value="{Feed.Packages}" /></config>
            </configuration>
            """);
        Write("Program.cs", "System.Console.WriteLine(App.CompressedModels.Iris.ReadAllBytes().Length);\n");
        AddModel("iris.onnx");
        AddModel("mnist.onnx");
        Manifest("- { model: iris.onnx, name: Iris, recipe: int8-weights }", "- { model: mnist.onnx, name: Digits, recipe: int8-weights }");
    }

    public string Root { get; }

    public string Folder { get; }

    public string this[string relative] => Path.Combine(Folder, relative);

    public void AddModel(string name) => File.Copy(Path.Combine(AppContext.BaseDirectory, "data", name), this[name], overwrite: true);

    public void Write(string name, string text) => File.WriteAllText(this[name], text);

    /// <summary>Targets from line 3 on, the dash in column 3.</summary>
    public void Manifest(params string[] targets) =>
        Write("compression.yaml", "version: 1\ntargets:\n" + string.Concat(targets.Select(t => $"  {t}\n")));

    public Build Build(params string[] arguments) => Run("build", arguments);

    public Build Run(string verb, params string[] arguments)
    {
        var log = this[$"{++_builds}.binlog"];
        var result = DotNet.Run(Folder, [verb, "App.csproj", "-nologo", "-v:minimal", "-bl:" + log, .. arguments]);
        return new Build(result.ExitCode, result.Output, log);
    }

    /// <summary>What the built app prints.</summary>
    public string Execute(string? path = null)
    {
        var result = DotNet.Run(Folder, "exec", this[path ?? "bin/Debug/net10.0/App.dll"]);
        Assert.AreEqual(0, result.ExitCode, result.Output);
        return result.Output.Trim();
    }

    public byte[] Output(string name) => File.ReadAllBytes(this[$"obj/models/{name}"]);

    public void Dispose()
    {
        try
        {
            Directory.Delete(Root, recursive: true);
        }
        catch (IOException)
        {
            // Some antivirus or indexer holds a file; the folder is in the temporary one.
        }
    }
}

/// <summary>A build that ended.</summary>
internal sealed record Build(int ExitCode, string Output, string LogPath)
{
    private readonly Lazy<Microsoft.Build.Logging.StructuredLogger.Build> _log = new(() => BinaryLog.ReadBuild(LogPath));

    /// <summary>How often the worker was started.</summary>
    public int Workers => _log.Value.FindChildrenRecursive<Task>(t => t.Name == "CompressModels").Count;

    /// <summary>What the worker said of each target: one line a target.</summary>
    public IReadOnlyList<string> Summaries => [.. _log.Value.FindChildrenRecursive<Message>(m => m.Text.Contains(" bytes, ", StringComparison.Ordinal)).Select(m => m.Text).Distinct()];

    /// <summary>The targets that were compressed and not found in the cache.</summary>
    public IReadOnlyList<string> Compressed => [.. Summaries.Where(s => !s.Contains("from the cache", StringComparison.Ordinal)).Select(s => s[..s.IndexOf(':')]).Order()];

    public IReadOnlyList<Error> Errors => _log.Value.FindChildrenRecursive<Error>();

    public bool Ran(string target) => _log.Value.FindChildrenRecursive<Target>(t => t.Name == target && !t.Skipped).Count > 0;

    public Build Succeeded()
    {
        Assert.AreEqual(0, ExitCode, Output);
        return this;
    }

    public Build Failed()
    {
        Assert.AreNotEqual(0, ExitCode, Output);
        return this;
    }
}
