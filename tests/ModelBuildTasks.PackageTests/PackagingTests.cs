namespace ModelBuildTasks.PackageTests;

[TestClass]
public sealed class PackagingTests
{
    private const string Packed = "- { model: mnist.onnx, name: Packed, recipe: int8-weights, package: { encoding: brotli } }";
    private const string Beside = "- { model: mnist.onnx, name: Beside, recipe: int8-weights, package: { as: content } }";
    private const string Both = "- { model: mnist.onnx, name: Both, recipe: int8-weights, package: { as: content, encoding: brotli } }";

    // The resources' names; then for each model: both lengths, and whether bytes, stream, hash and session are those of one model.
    private const string Program = """
        using System.Security.Cryptography;
        using App;
        using Microsoft.ML.OnnxRuntime;

        Console.WriteLine(string.Join(' ', typeof(CompressedModels).Assembly.GetManifestResourceNames().Order()));
        Show(CompressedModels.Packed.Length, CompressedModels.Packed.PackedLength, CompressedModels.Packed.Sha256, CompressedModels.Packed.ReadAllBytes(), CompressedModels.Packed.OpenRead(), CompressedModels.Packed.CreateSession());
        Show(CompressedModels.Beside.Length, CompressedModels.Beside.PackedLength, CompressedModels.Beside.Sha256, CompressedModels.Beside.ReadAllBytes(), CompressedModels.Beside.OpenRead(), CompressedModels.Beside.CreateSession());
        Show(CompressedModels.Both.Length, CompressedModels.Both.PackedLength, CompressedModels.Both.Sha256, CompressedModels.Both.ReadAllBytes(), CompressedModels.Both.OpenRead(), CompressedModels.Both.CreateSession());
        Console.WriteLine(Path.GetRelativePath(AppContext.BaseDirectory, CompressedModels.Beside.Path));

        static void Show(long length, long packed, string hash, byte[] bytes, Stream stream, InferenceSession session)
        {
            using var memory = new MemoryStream();
            using (stream)
                stream.CopyTo(memory);
            using (session)
                Console.WriteLine($"{length} {packed} {bytes.Length == length} {memory.ToArray().AsSpan().SequenceEqual(bytes)} {Convert.ToHexStringLower(SHA256.HashData(bytes)) == hash} {session.InputNames[0]}");
        }
        """;

    [TestMethod]
    public void Encoded_and_placed_models_are_read_and_run_by_the_app_and_by_what_is_published()
    {
        using var project = App();
        project.Build().Succeeded();
        var (length, packed) = (project.Output("Packed.onnx").Length, project.Output("Packed.onnx.br").Length);
        Assert.IsLessThan(length, packed);
        var expected = string.Join('|',
            "models/Packed.onnx.br",
            $"{length} {packed} True True True Input3",
            $"{length} {length} True True True Input3",
            $"{length} {packed} True True True Input3",
            Path.Combine("models", "Beside.onnx"));
        Assert.AreEqual(expected, project.Execute().ReplaceLineEndings("|"));
        Assert.AreSequenceEqual(new[] { "Beside.onnx", "Both.onnx.br" }, Files(project["bin/Debug/net10.0/models"]));

        project.Run("publish", "--no-build", "-c", "Debug", "-o", project["out"]).Succeeded();
        Assert.AreEqual(expected, project.Execute("out/App.dll").ReplaceLineEndings("|"));

        project.Run("publish", "-p:PublishSingleFile=true", "-p:SelfContained=false", "--use-current-runtime", "-o", project["one"]).Succeeded();
        Assert.AreSequenceEqual(new[] { "Beside.onnx", "Both.onnx.br" }, Files(project["one/models"]));
        using var process = System.Diagnostics.Process.Start(new System.Diagnostics.ProcessStartInfo(project[OperatingSystem.IsWindows() ? "one/App.exe" : "one/App"]) { RedirectStandardOutput = true })!;
        Assert.AreEqual(expected, process.StandardOutput.ReadToEnd().Trim().ReplaceLineEndings("|"));
        process.WaitForExit();
    }

    [TestMethod]
    public void Packing_follows_the_manifest_and_clean_takes_it_all()
    {
        using var project = App();
        project.Build().Succeeded();
        Assert.AreEqual(0, project.Build("--no-restore", "-question").Succeeded().Workers, "nothing changed");

        File.Delete(project["obj/models/Packed.onnx.br"]);
        Assert.AreEqual(1, project.Build("--no-restore").Succeeded().Workers, "a lost encoded file is made again");
        Assert.IsTrue(File.Exists(project["obj/models/Packed.onnx.br"]));

        project.Write("Program.cs", "System.Console.WriteLine(string.Join(' ', typeof(App.CompressedModels).Assembly.GetManifestResourceNames()));\n");
        project.Manifest(Packed.Replace("encoding: brotli", "encoding: none", StringComparison.Ordinal));
        project.Build("--no-restore").Succeeded();
        Assert.AreEqual("models/Packed.onnx", project.Execute());
        Assert.IsFalse(File.Exists(project["obj/models/Packed.onnx.br"]));
        Assert.IsFalse(File.Exists(project["bin/Debug/net10.0/models/Beside.onnx"]), "MSBuild removes what is no longer copied");

        project.Manifest(Beside);
        project.Build("--no-restore").Succeeded();
        Assert.IsTrue(File.Exists(project["bin/Debug/net10.0/models/Beside.onnx"]));
        project.Run("clean").Succeeded();
        Assert.IsFalse(File.Exists(project["bin/Debug/net10.0/models/Beside.onnx"]));
        Assert.IsFalse(Directory.Exists(project["obj/models"]));
    }

    [TestMethod]
    public void A_framework_without_a_decoder_fails_at_the_line_that_asks_for_encoding()
    {
        using var project = new TestProject("<TargetFrameworks>net10.0;netstandard2.0</TargetFrameworks>");
        project.Write("Program.cs", "namespace App { public static class Use { public static long Bytes() { return CompressedModels.Packed.ReadAllBytes().Length; } } }\n");
        project.Manifest(Packed);
        var error = Assert.ContainsSingle(project.Build().Failed().Errors);
        Assert.AreEqual("MBT2032", error.Code);
        Assert.AreEqual("compression.yaml", Path.GetFileName(error.File));
        Assert.AreEqual(3, error.LineNumber);
        Assert.Contains("netstandard2.0", error.ProjectFile + error.Text.Replace(".NETStandard v2.0", "netstandard2.0", StringComparison.Ordinal));

        project.Manifest(Packed.Replace("encoding: brotli", "as: content", StringComparison.Ordinal));
        project.Build("--no-restore", "-m").Succeeded();
        foreach (var framework in new[] { "net10.0", "netstandard2.0" })
            Assert.IsTrue(File.Exists(project[$"bin/Debug/{framework}/models/Packed.onnx"]), framework);
    }

    [TestMethod]
    public void The_package_of_a_library_copies_the_models_next_to_the_app_that_uses_it()
    {
        using var project = new TestProject("<TargetFrameworks>net10.0;netstandard2.0</TargetFrameworks><NoWarn>$(NoWarn);NU5128</NoWarn>");
        project.Write("Program.cs", "namespace App { public static class Use { public static long Bytes() { return CompressedModels.Beside.ReadAllBytes().Length; } } }\n");
        project.Manifest(Beside);
        project.Run("pack", "-o", project["out"]).Succeeded();
        using var package = System.IO.Compression.ZipFile.OpenRead(Directory.GetFiles(project["out"], "*.nupkg").Single());
        Assert.HasCount(1, package.Entries.Where(e => e.FullName == "contentFiles/any/any/models/Beside.onnx"));
        using var reader = new StreamReader(package.Entries.Single(e => e.FullName == "App.nuspec").Open());
        Assert.Contains("""<files include="any/any/models/Beside.onnx" buildAction="None" copyToOutput="true" />""", reader.ReadToEnd());
    }

    private static TestProject App()
    {
        var project = new TestProject(
            "<TargetFramework>net10.0</TargetFramework><OutputType>Exe</OutputType><ImplicitUsings>enable</ImplicitUsings><Nullable>enable</Nullable>",
            """<PackageReference Include="Microsoft.ML.OnnxRuntime" Version="1.31.1" />""");
        project.Write("Program.cs", Program);
        project.Manifest(Packed, Beside, Both);
        return project;
    }

    private static string[] Files(string folder) => [.. Directory.GetFiles(folder).Select(f => Path.GetFileName(f)).Order(StringComparer.Ordinal)];
}
