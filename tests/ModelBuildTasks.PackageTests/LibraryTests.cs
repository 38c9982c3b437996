namespace ModelBuildTasks.PackageTests;

[TestClass]
public sealed class LibraryTests
{
    private const string TwoFrameworks = """
        <TargetFrameworks>net10.0;netstandard2.0</TargetFrameworks><AnalysisMode>All</AnalysisMode><GenerateDocumentationFile>true</GenerateDocumentationFile>
        """;

    [TestMethod]
    public void A_library_for_two_frameworks_compresses_once_and_has_the_models_in_both()
    {
        using var project = Library();
        var build = project.Build("-m").Succeeded();
        Assert.AreEqual(1, build.Workers);
        foreach (var framework in new[] { "net10.0", "netstandard2.0" })
            Assert.IsTrue(Contains(File.ReadAllBytes(project[$"bin/Debug/{framework}/App.dll"]), project.Output("Digits.onnx")), framework);

        Assert.AreEqual(0, project.Build("-c", "Release").Succeeded().Workers, "the configuration does not concern the models");
        var rebuild = project.Build("-t:Rebuild", "-m").Succeeded();
        Assert.AreEqual(1, rebuild.Workers);
        Assert.AreEqual(0, project.Build("-graph").Succeeded().Workers);
    }

    [TestMethod]
    public void The_package_of_a_library_has_the_models_and_no_dependency_on_this_one()
    {
        using var project = Library();
        project.Run("pack", "-o", project["out"]).Succeeded();
        using var package = System.IO.Compression.ZipFile.OpenRead(Directory.GetFiles(project["out"], "*.nupkg").Single());
        using var reader = new StreamReader(package.Entries.Single(e => e.FullName == "App.nuspec").Open());
        Assert.DoesNotContain("ModelBuildTasks", reader.ReadToEnd());
        using var memory = new MemoryStream();
        using (var stream = package.GetEntry("lib/netstandard2.0/App.dll")!.Open())
            stream.CopyTo(memory);
        Assert.IsTrue(Contains(memory.ToArray(), project.Output("Iris.onnx")));
    }

    private static TestProject Library()
    {
        // netstandard2.0 compiles as C# 7.3, without nullable annotations; net10.0 as the newest, with them.
        var project = new TestProject(TwoFrameworks + "<Nullable Condition=\"'$(TargetFramework)' == 'net10.0'\">enable</Nullable>",
            """<PackageReference Include="Microsoft.ML.OnnxRuntime" Version="1.31.1" />""");
        project.Write("Program.cs", """
            namespace App
            {
                internal static class Use
                {
                    internal static long Bytes()
                    {
                        using (var session = CompressedModels.Iris.CreateSession())
                        {
                            return CompressedModels.Digits.ReadAllBytes().Length + session.InputNames.Count;
                        }
                    }
                }
            }
            """);
        return project;
    }

    private static bool Contains(byte[] file, byte[] part) => file.AsSpan().IndexOf(part) >= 0;
}
