namespace ModelBuildTasks.PackageTests;

[TestClass]
public sealed class EditorTests
{
    [TestMethod]
    public void A_design_time_build_writes_the_accessor_and_compresses_nothing()
    {
        using var project = new TestProject();
        string[] design = ["-t:Compile", "-p:DesignTimeBuild=true", "-p:BuildingInsideVisualStudio=true", "-p:SkipCompilerExecution=true", "-p:ProvideCommandLineArgs=true"];
        project.Run("restore").Succeeded();
        project.Run("msbuild", design).Succeeded();
        Assert.Contains("class Digits", File.ReadAllText(project["obj/models/CompressedModels.g.cs"]));
        Assert.IsEmpty(Directory.GetFiles(project["obj/models"], "*.onnx"));
        Assert.AreEqual(0, project.Run("msbuild", design).Succeeded().Workers, "and it does so once");

        Assert.HasCount(2, project.Build("--no-restore").Succeeded().Compressed);
        Assert.AreEqual(0, project.Run("msbuild", design).Succeeded().Workers);
        Assert.AreEqual(0, project.Build("--no-restore").Succeeded().Workers, "the editor did not disturb the build");

        project.Write("compression.yaml", "version: [");
        project.Run("msbuild", design).Succeeded();
    }

    [TestMethod]
    public void The_manifest_is_found_without_being_named_and_can_be_removed()
    {
        using var project = new TestProject();
        project.Run("restore").Succeeded();
        string Items(params string[] arguments) => DotNet.Run(project.Folder, ["msbuild", "App.csproj", "-getItem:CompressionManifest", "-getProperty:ModelBuildEnabled,ModelBuildNamespace", .. arguments]).Output;

        var evaluated = Items();
        Assert.Contains("\"Identity\": \"compression.yaml\"", evaluated);
        Assert.Contains("\"ModelBuildEnabled\": \"true\"", evaluated);
        Assert.Contains("\"ModelBuildNamespace\": \"App\"", evaluated);
        Assert.DoesNotContain("compression.yaml", Items("-p:EnableDefaultCompressionManifest=false"));
    }

    [TestMethod]
    public void Targets_of_the_user_run_before_and_after_and_see_the_models()
    {
        using var project = new TestProject();
        project.Write("Directory.Build.targets", """
            <Project>
              <Target Name="Early" BeforeTargets="BeforeCompressModels"><Message Importance="High" Text="early" /></Target>
              <Target Name="Late" AfterTargets="CompressModels"><Message Importance="High" Text="late %(CompressedModel.Name) %(CompressedModel.Size) %(CompressedModel.OriginalSize) %(CompressedModel.Report)" /></Target>
            </Project>
            """);
        var build = project.Build().Succeeded();
        var size = project.Output("Digits.onnx").Length;
        Assert.Contains($"late Digits {size} {new FileInfo(project["mnist.onnx"]).Length} {project["obj/models/report.json"]}", build.Output);
        Assert.IsLessThan(build.Output.IndexOf("late", StringComparison.Ordinal), build.Output.IndexOf("early", StringComparison.Ordinal));
    }

    [TestMethod]
    public void Build_checks_and_threads_in_one_process_pass_without_a_word()
    {
        using var project = new TestProject();
        var build = project.Build("-check", "-mt").Succeeded();
        Assert.DoesNotContain("warning BC", build.Output);
        Assert.DoesNotContain("warning MSB", build.Output);
        Assert.AreEqual(1, build.Workers);
    }
}
