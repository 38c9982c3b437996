using System.IO.Compression;

namespace ModelBuildTasks.PackageTests;

[TestClass]
public sealed class PackageContentTests
{
    [TestMethod]
    public void It_brings_a_task_a_worker_and_nothing_to_compile_against()
    {
        using var package = ZipFile.OpenRead(Feed.Package);
        var entries = package.Entries.Select(e => e.FullName).ToList();
        Assert.Contains("build/ModelBuildTasks.props", entries);
        Assert.Contains("build/ModelBuildTasks.targets", entries);
        Assert.Contains("buildMultiTargeting/ModelBuildTasks.props", entries);
        Assert.Contains("buildMultiTargeting/ModelBuildTasks.targets", entries);
        Assert.Contains("tasks/netstandard2.0/ModelBuildTasks.dll", entries);
        Assert.Contains("tools/net10.0/modelbuild.dll", entries);
        Assert.Contains("tools/net10.0/modelbuild.deps.json", entries);
        Assert.Contains("tools/net10.0/modelbuild.runtimeconfig.json", entries);
        Assert.Contains("README.md", entries);
        Assert.IsFalse(entries.Exists(e => e.StartsWith("lib/", StringComparison.Ordinal) || e.StartsWith("buildTransitive/", StringComparison.Ordinal)));
        Assert.ContainsSingle(entries.Where(e => e.StartsWith("tasks/", StringComparison.Ordinal)));
    }

    [TestMethod]
    public void Natives_are_those_of_five_platforms()
    {
        using var package = ZipFile.OpenRead(Feed.Package);
        var platforms = package.Entries.Select(e => e.FullName.Split('/'))
            .Where(p => p is ["tools", "net10.0", "runtimes", ..]).Select(p => p[3]).Distinct().Order(StringComparer.Ordinal);
        Assert.AreSequenceEqual(new[] { "linux-arm64", "linux-x64", "osx-arm64", "win-arm64", "win-x64" }, platforms);
        Assert.IsFalse(package.Entries.Any(e => e.FullName == "tools/net10.0/onnxruntime.dll"));
    }

    [TestMethod]
    public void It_is_a_development_dependency_without_dependencies()
    {
        using var package = ZipFile.OpenRead(Feed.Package);
        using var reader = new StreamReader(package.GetEntry("ModelBuildTasks.nuspec")!.Open());
        var nuspec = reader.ReadToEnd();
        Assert.Contains("<developmentDependency>true</developmentDependency>", nuspec);
        Assert.DoesNotContain("<dependency ", nuspec);
    }
}
