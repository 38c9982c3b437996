namespace ModelBuildTasks.PackageTests;

[TestClass]
public sealed class FailureTests
{
    [TestMethod]
    public void A_missed_gate_fails_the_build_at_its_place_and_embeds_nothing()
    {
        using var project = new TestProject();
        project.Manifest("- { model: iris.onnx, name: Iris, recipe: int8-weights }",
            "- { model: mnist.onnx, name: Digits, recipe: int8-weights, validate: { size: { max: 1 kB } } }");
        var build = project.Build().Failed();

        var error = Assert.ContainsSingle(build.Errors);
        Assert.AreEqual("MBT3007", error.Code);
        Assert.AreEqual(4, error.LineNumber);
        Assert.IsGreaterThan(60, error.ColumnNumber);
        Assert.Contains("compression.yaml(4,", build.Output);
        Assert.Contains("error MBT3007: ", build.Output);
        Assert.IsFalse(File.Exists(project["bin/Debug/net10.0/App.dll"]));

        Assert.AreEqual(1, project.Build("--no-restore").Failed().Workers, "it stays failed");
        project.Manifest("- { model: iris.onnx, name: Iris, recipe: int8-weights }");
        project.Build("--no-restore").Succeeded();
    }

    [TestMethod]
    public void Mistakes_in_the_manifest_are_located_errors()
    {
        using var project = new TestProject();
        project.Manifest("- { model: gone.onnx, name: Iris, recipe: int8-weights }");
        var missing = project.Build().Failed();
        Assert.AreEqual("MBT1009", Assert.ContainsSingle(missing.Errors).Code);
        Assert.AreEqual(3, missing.Errors[0].LineNumber);

        project.AddModel("iris.onnx");
        File.Move(project["iris.onnx"], project["gone.onnx"]);
        project.Build("--no-restore").Succeeded();

        project.Manifest("- { model: gone.onnx, name: Iris, recipe: int8-weights, unknown: 1 }");
        var unknown = project.Build("--no-restore").Failed();
        Assert.AreEqual("MBT1002", Assert.ContainsSingle(unknown.Errors).Code);
        Assert.AreEqual(project["compression.yaml"], unknown.Errors[0].File);
        Assert.DoesNotContain("   at ", unknown.Output);
    }

    [TestMethod]
    public void What_the_environment_lacks_is_a_coded_error()
    {
        using var project = new TestProject();
        Assert.AreEqual("MBT1010", project.Build("-p:ModelBuildRemoteCache=somewhere").Failed().Errors[0].Code);
        Assert.AreEqual("MBT9004", project.Build("--no-restore", "-p:ModelBuildWorkerPath=none/modelbuild.dll").Failed().Errors[0].Code);
        Assert.AreEqual("MBT1006", project.Build("--no-restore", "-p:ModelBuildEnabled=perhaps").Failed().Errors[0].Code);

        // A program that is no worker: the host starts it and it dies.
        project.Write("broken.dll", "no assembly");
        Assert.AreEqual("MBT9002", project.Build("--no-restore", "-p:ModelBuildWorkerPath=broken.dll").Failed().Errors[0].Code);
    }
}
