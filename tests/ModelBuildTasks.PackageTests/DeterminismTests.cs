namespace ModelBuildTasks.PackageTests;

[TestClass]
public sealed class DeterminismTests
{
    [TestMethod]
    public void Two_folders_and_one_or_two_threads_give_the_same_bytes()
    {
        using var one = new TestProject(folderName: "one");
        using var two = new TestProject(folderName: "another folder");
        one.Build("-p:ModelBuildMaxCpuCount=1").Succeeded();
        two.Build("-p:ModelBuildMaxCpuCount=2").Succeeded();
        foreach (var name in new[] { "Iris.onnx", "Digits.onnx", "CompressedModels.g.cs" })
            Assert.AreSequenceEqual(one.Output(name), two.Output(name), name);
    }
}
