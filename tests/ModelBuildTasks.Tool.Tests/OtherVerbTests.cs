namespace ModelBuildTasks.Tool.Tests;

[TestClass]
public sealed class OtherVerbTests
{
    [TestMethod]
    public async Task Inspect_shows_inputs_operators_and_weights()
    {
        using var line = new CommandLine();
        Assert.AreEqual(ExitCode.Done, await line.Run("inspect", CommandLine.Data("mnist/mnist.onnx")));
        Assert.Contains("Input3", line.Out);
        Assert.Contains("Conv", line.Out);
        Assert.Contains("float32", line.Out);
        Assert.Contains("int8:", line.Out);
    }

    [TestMethod]
    public async Task Inspect_gives_json()
    {
        using var line = new CommandLine();
        Assert.AreEqual(ExitCode.Done, await line.Run("inspect", CommandLine.Data("mnist/mnist.onnx"), "--json"));
        var inspection = line.Json.GetProperty("inspection");
        Assert.AreEqual(new FileInfo(CommandLine.Data("mnist/mnist.onnx")).Length, inspection.GetProperty("size").GetInt64());
        Assert.AreEqual("Input3", inspection.GetProperty("inputs")[0].GetProperty("name").GetString());
    }

    [TestMethod]
    public async Task Inspect_of_a_damaged_model_ends_in_1()
    {
        using var line = new CommandLine();
        File.WriteAllBytes(line.File("cut.onnx"), File.ReadAllBytes(CommandLine.Data("mnist/mnist.onnx"))[..5000]);
        Assert.AreEqual(ExitCode.Failed, await line.Run("inspect", line.File("cut.onnx")));
        Assert.Contains("error MBT200", line.Error);
    }

    [TestMethod]
    public async Task Validate_shows_the_metrics_of_two_models()
    {
        using var line = new CommandLine();
        var model = CommandLine.Data("mnist/mnist.onnx");
        Assert.AreEqual(ExitCode.Done, await line.Run("validate", model, model, "--json", "--latency"), line.Error);
        var validation = line.Json.GetProperty("validation");
        Assert.IsTrue(validation.GetProperty("passed").GetBoolean());
        Assert.AreEqual(200, validation.GetProperty("metrics").EnumerateArray().Single(m => m.GetProperty("name").GetString() == "sqnr").GetProperty("compressed").GetDouble());
        Assert.IsGreaterThan(0, validation.GetProperty("latency").GetProperty("ratio").GetDouble());
    }

    [TestMethod]
    public async Task Validate_of_models_that_do_not_belong_together_ends_in_1()
    {
        using var line = new CommandLine();
        Assert.AreEqual(ExitCode.Failed, await line.Run("validate", CommandLine.Data("mnist/mnist.onnx"), CommandLine.Data("iris/iris_network.onnx")));
        Assert.Contains("error MBT2005", line.Error);
    }

    [TestMethod]
    public async Task Plan_shows_what_passes_would_do_and_writes_nothing()
    {
        using var line = new CommandLine();
        File.WriteAllText(line.File("compression.yaml"), $"""
            version: 1
            targets:
              - model: {CommandLine.Data("mnist/mnist.onnx").Replace('\\', '/')}
                passes: [prune: {"{"} structure: channels, parameters: 20%, multiple: 1 {"}"}]
            """);
        var before = Directory.GetFileSystemEntries(Path.GetDirectoryName(line.File("compression.yaml"))!);
        Assert.AreEqual(ExitCode.Done, await line.Run("plan", "--manifest", line.File("compression.yaml")), line.Error);
        Assert.Contains("multiply-accumulates", line.Out);
        Assert.Contains("pruned", line.Out);
        CollectionAssert.AreEquivalent(before, Directory.GetFileSystemEntries(Path.GetDirectoryName(line.File("compression.yaml"))!));
        Assert.AreEqual(ExitCode.WrongCall, await line.Run("plan", "--manifest", line.File("compression.yaml"), "--target", "None"));
    }

    [TestMethod]
    public async Task Help_and_version_end_in_0()
    {
        using var line = new CommandLine();
        Assert.AreEqual(ExitCode.Done, await line.Run("--help"));
        Assert.Contains("inspect", line.Out);
        Assert.AreEqual(ExitCode.Done, await line.Run("--version"));
        Assert.AreNotEqual("", line.Out.Trim());
    }
}
