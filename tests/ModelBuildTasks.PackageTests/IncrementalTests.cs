namespace ModelBuildTasks.PackageTests;

[TestClass]
public sealed class IncrementalTests
{
    [TestMethod]
    public void Only_what_changed_is_done_again()
    {
        using var project = new TestProject();
        var first = project.Build().Succeeded();
        Assert.AreEqual(1, first.Workers);
        Assert.AreSequenceEqual(new[] { "Digits", "Iris" }, first.Compressed);

        Assert.AreEqual(0, project.Build("--no-restore").Succeeded().Workers, "nothing changed");
        Assert.AreEqual(0, project.Build("--no-restore", "-question").Succeeded().Workers, "MSBuild agrees");

        var assembly = File.GetLastWriteTimeUtc(project["bin/Debug/net10.0/App.dll"]);
        File.SetLastWriteTimeUtc(project["mnist.onnx"], DateTime.UtcNow);
        var touched = project.Build("--no-restore").Succeeded();
        Assert.AreEqual(1, touched.Workers);
        Assert.IsEmpty(touched.Compressed, "a touched model is the same model");
        Assert.AreEqual(assembly, File.GetLastWriteTimeUtc(project["bin/Debug/net10.0/App.dll"]), "nor is the app compiled again");
        Assert.AreEqual(0, project.Build("--no-restore").Succeeded().Workers, "and then it is up to date");

        File.WriteAllBytes(project["mnist.onnx"], WithProducer(project["mnist.onnx"]));
        Assert.AreSequenceEqual(new[] { "Digits" }, project.Build("--no-restore").Succeeded().Compressed);

        project.Manifest("- { model: iris.onnx, name: Iris, recipe: lossless }", "- { model: mnist.onnx, name: Digits, recipe: int8-weights }");
        Assert.AreSequenceEqual(new[] { "Iris" }, project.Build("--no-restore").Succeeded().Compressed);
    }

    [TestMethod]
    public void A_property_alone_is_a_change()
    {
        using var project = new TestProject();
        project.Build().Succeeded();
        project.Write("Program.cs", "System.Console.WriteLine(Other.CompressedModels.Iris.Length);\n");
        var renamed = project.Build("--no-restore", "-p:ModelBuildNamespace=Other").Succeeded();
        Assert.AreEqual(1, renamed.Workers);
        Assert.IsEmpty(renamed.Compressed, "the namespace does not concern the models");

        Assert.AreEqual(1, project.Build("--no-restore", "-p:ModelBuildNamespace=Other", "-p:ModelBuildEnabled=false").Succeeded().Workers);
        Assert.AreSequenceEqual(File.ReadAllBytes(project["mnist.onnx"]), project.Output("Digits.onnx"));
        Assert.AreEqual(new FileInfo(project["iris.onnx"]).Length.ToString(), project.Execute());
    }

    [TestMethod]
    public void Clean_leaves_nothing_and_a_removed_target_leaves_no_file()
    {
        using var project = new TestProject();
        project.Build().Succeeded();
        project.Manifest("- { model: iris.onnx, name: Iris, recipe: int8-weights }");
        project.Build("--no-restore").Succeeded();
        Assert.IsFalse(File.Exists(project["obj/models/Digits.onnx"]));

        File.Delete(project["obj/models/Iris.onnx"]);
        Assert.AreEqual(1, project.Build("--no-restore").Succeeded().Workers, "a lost output is made again");

        project.Run("clean").Succeeded();
        Assert.IsFalse(Directory.Exists(project["obj/models"]));
        project.Build("--no-restore").Succeeded();
        Assert.IsTrue(File.Exists(project["obj/models/Iris.onnx"]));
    }

    [TestMethod]
    public void A_cache_of_ones_own_survives_clean_and_serves_other_projects()
    {
        using var one = new TestProject();
        using var two = new TestProject();
        var cache = "-p:ModelBuildCacheDirectory=" + Path.Combine(one.Root, "cache");
        Assert.HasCount(2, one.Build(cache).Succeeded().Compressed);
        Assert.IsEmpty(two.Build(cache).Succeeded().Compressed);
    }

    // The same model by another producer's name: other bytes, and still a model. Field 2 of ModelProto, the last value wins.
    private static byte[] WithProducer(string path) => [.. File.ReadAllBytes(path), 0x12, 4, (byte)'t', (byte)'e', (byte)'s', (byte)'t'];
}
