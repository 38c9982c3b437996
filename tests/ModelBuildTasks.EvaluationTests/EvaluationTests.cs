using System.Runtime.CompilerServices;
using Microsoft.Build.Evaluation;
using Microsoft.Build.Locator;

namespace ModelBuildTasks.EvaluationTests;

/// <summary>What a project with the package's props and targets looks like to editors and tools, before anything is built.</summary>
[TestClass]
public sealed class EvaluationTests
{
    [AssemblyInitialize]
    public static void UseTheSdk(TestContext _) => MSBuildLocator.RegisterDefaults();

    [TestMethod]
    public void A_manifest_beside_the_project_is_found_and_an_editor_knows_that_it_is_an_input()
    {
        var items = Evaluate(manifest: true, []);
        CollectionAssert.AreEqual(new[] { "compression.yaml" }, items["CompressionManifest"]);
        CollectionAssert.Contains(items["UpToDateCheckInput"], "compression.yaml");
    }

    [TestMethod]
    public void Without_a_manifest_there_is_nothing_to_do()
    {
        Assert.IsEmpty(Evaluate(manifest: false, [])["CompressionManifest"]);
    }

    [TestMethod]
    public void The_default_manifest_can_be_switched_off()
    {
        Assert.IsEmpty(Evaluate(manifest: true, new() { ["EnableDefaultCompressionManifest"] = "false" })["CompressionManifest"]);
    }

    // Types of MSBuild may be touched only after Locator has found them: not in a method that is compiled before.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static Dictionary<string, string[]> Evaluate(bool manifest, Dictionary<string, string> properties)
    {
        var folder = Directory.CreateTempSubdirectory("mbt-evaluation-");
        try
        {
            if (manifest)
                File.WriteAllText(Path.Combine(folder.FullName, "compression.yaml"), "version: 1\n");
            var build = Path.Combine(Root(AppContext.BaseDirectory), "build");
            var path = Path.Combine(folder.FullName, "app.csproj");
            File.WriteAllText(path, $"""
                <Project>
                  <Import Project="{Path.Combine(build, "ModelBuildTasks.props")}" />
                  <Import Project="Sdk.props" Sdk="Microsoft.NET.Sdk" />
                  <PropertyGroup><TargetFramework>net10.0</TargetFramework></PropertyGroup>
                  <Import Project="Sdk.targets" Sdk="Microsoft.NET.Sdk" />
                  <Import Project="{Path.Combine(build, "ModelBuildTasks.targets")}" />
                </Project>
                """);
            using var collection = new ProjectCollection(properties);
            var project = collection.LoadProject(path);
            return new[] { "CompressionManifest", "UpToDateCheckInput" }
                .ToDictionary(type => type, type => project.GetItems(type).Select(i => i.EvaluatedInclude).ToArray());
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    private static string Root(string folder) =>
        File.Exists(Path.Combine(folder, "ModelBuildTasks.sln")) ? folder
        : Root(Path.GetDirectoryName(folder) ?? throw new DirectoryNotFoundException("the tests do not run inside the repository"));
}
