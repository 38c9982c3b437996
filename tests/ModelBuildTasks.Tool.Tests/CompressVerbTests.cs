namespace ModelBuildTasks.Tool.Tests;

[TestClass]
public sealed class CompressVerbTests
{
    [TestMethod]
    public async Task A_manifest_becomes_a_folder_with_artifacts_and_a_report()
    {
        using var line = new CommandLine();
        Assert.AreEqual(ExitCode.Done, await line.Run("compress", "--manifest", line.Manifest(), "-o", line.File("out")), line.Error);
        Assert.IsTrue(File.Exists(line.File("out/Digits.onnx")));
        Assert.IsTrue(File.Exists(line.File("out/report.json")));
        Assert.Contains("Digits", line.Out);
    }

    [TestMethod]
    public async Task A_missed_gate_ends_in_1_and_one_canonical_line()
    {
        using var line = new CommandLine();
        var manifest = line.Manifest("    validate: { size: { max: 0.1 kB } }\n");
        var code = await line.Run("compress", "--manifest", manifest, "-o", line.File("out"));
        Assert.AreEqual(ExitCode.Failed, code);
        Assert.Contains($"{manifest}(6,", line.Error);
        Assert.Contains("error MBT3007: Digits: size ", line.Error);
        Assert.IsFalse(File.Exists(line.File("out/Digits.onnx")));
        Assert.IsTrue(File.Exists(line.File("out/report.json")));
    }

    [TestMethod]
    public async Task An_encoded_artifact_lies_beside_the_model_and_its_size_is_told()
    {
        using var line = new CommandLine();
        Assert.AreEqual(ExitCode.Done, await line.Run("compress", "--manifest", line.Manifest("    package: { encoding: brotli }\n"), "-o", line.File("out")), line.Error);
        Assert.Contains("packed", line.Out);
        Assert.IsTrue(File.Exists(line.File("out/Digits.onnx")));
        var packed = new FileInfo(line.File("out/Digits.onnx.br")).Length;

        using var plain = new CommandLine();
        Assert.AreEqual(ExitCode.Done, await plain.Run("compress", "--manifest", plain.Manifest(), "-o", plain.File("out")), plain.Error);
        Assert.DoesNotContain("packed", plain.Out);

        using var json = new CommandLine();
        Assert.AreEqual(ExitCode.Done, await json.Run("compress", "--manifest", json.Manifest("    package: { encoding: brotli }\n"), "-o", json.File("out"), "--json"), json.Error);
        Assert.AreEqual(packed, json.Json.GetProperty("report").GetProperty("targets")[0].GetProperty("artifact").GetProperty("packedSize").GetInt64());
    }

    [TestMethod]
    public async Task An_error_of_the_manifest_ends_in_1_with_its_line()
    {
        using var line = new CommandLine();
        var manifest = line.Manifest("    calibratoin: x\n");
        Assert.AreEqual(ExitCode.Failed, await line.Run("compress", "--manifest", manifest, "-o", line.File("out")));
        StringAssert.StartsWith(line.Error, $"{manifest}(6,5): error MBT1002: ");
        Assert.AreEqual("", line.Out);
    }

    [TestMethod]
    public async Task Json_is_one_document_on_standard_output_and_progress_is_not_in_it()
    {
        using var line = new CommandLine();
        Assert.AreEqual(ExitCode.Done, await line.Run("compress", "--manifest", line.Manifest(), "-o", line.File("out"), "--json"));
        Assert.IsTrue(line.Json.GetProperty("succeeded").GetBoolean());
        Assert.AreEqual("Digits", line.Json.GetProperty("report").GetProperty("targets")[0].GetProperty("name").GetString());
        Assert.Contains("Digits: clean-up", line.Error);
    }

    [TestMethod]
    public async Task Json_of_a_failure_has_the_diagnostics_with_their_places()
    {
        using var line = new CommandLine();
        Assert.AreEqual(ExitCode.Failed, await line.Run("compress", "--manifest", line.Manifest("    what: 1\n"), "-o", line.File("out"), "--json"));
        var diagnostic = line.Json.GetProperty("diagnostics")[0];
        Assert.IsFalse(line.Json.GetProperty("succeeded").GetBoolean());
        Assert.AreEqual("MBT1002", diagnostic.GetProperty("code").GetString());
        Assert.AreEqual(6, diagnostic.GetProperty("line").GetInt32());
    }

    [TestMethod]
    public async Task A_second_run_comes_from_the_cache()
    {
        using var line = new CommandLine();
        string[] args = ["compress", "--manifest", line.Manifest(), "-o", line.File("out"), "--cache", line.File("cache")];
        await line.Run(args);
        Assert.AreEqual(ExitCode.Done, await line.Run(args));
        Assert.Contains("taken from the cache", line.Out);
    }

    [TestMethod]
    public async Task One_model_becomes_one_file_and_nothing_beside_it()
    {
        using var line = new CommandLine();
        Assert.AreEqual(ExitCode.Done, await line.Run("compress", CommandLine.Data("mnist/mnist.onnx"), "-o", line.File("small.onnx"), "--recipe", "int8"), line.Error);
        CollectionAssert.AreEqual(new[] { line.File("small.onnx") }, Directory.GetFileSystemEntries(line.Folder));
    }

    [TestMethod]
    public async Task The_original_is_never_overwritten()
    {
        using var line = new CommandLine();
        File.Copy(CommandLine.Data("mnist/mnist.onnx"), line.File("m.onnx"));
        Assert.AreEqual(ExitCode.WrongCall, await line.Run("compress", line.File("m.onnx"), "-o", line.File("m.onnx")));
        CollectionAssert.AreEqual(File.ReadAllBytes(CommandLine.Data("mnist/mnist.onnx")), File.ReadAllBytes(line.File("m.onnx")));
    }

    [TestMethod]
    public async Task Data_of_another_manifest_is_used_for_one_model()
    {
        using var line = new CommandLine();
        File.WriteAllText(line.File("data.yaml"), "version: 1\ndatasets:\n  noise: { inputs: { Input3: { random: { } } }, take: 3 }\n");
        var code = await line.Run("compress", CommandLine.Data("mnist/mnist.onnx"), "-o", line.File("small.onnx"), "--data", line.File("data.yaml") + "#noise", "--json");
        Assert.AreEqual(ExitCode.Done, code, line.Error);
        StringAssert.Contains(line.Json.GetProperty("report").GetProperty("targets")[0].GetProperty("validation").GetProperty("data").GetString(), "noise");
    }

    [TestMethod]
    [DataRow("compress")]
    [DataRow("compress", "-o", "x")]
    [DataRow("compress", "m.onnx", "--manifest", "m.yaml", "-o", "x")]
    [DataRow("compress", "--manifest", "m.yaml", "--recipe", "int8", "-o", "x")]
    [DataRow("compress", "--manifest", "nowhere.yaml", "-o", "x")]
    [DataRow("compress", "nowhere.onnx", "-o", "x")]
    [DataRow("compress", "nowhere.onnx", "-o", "x", "--recipe", "magic")]
    [DataRow("compress", "nowhere.onnx", "-o", "x", "--data", "no-hash")]
    [DataRow("compress", "nowhere.onnx", "-o", "x", "--threads", "0")]
    [DataRow("inspect")]
    [DataRow("inspect", "nowhere.onnx")]
    [DataRow("inspect", ".")]
    [DataRow("validate", "one.onnx")]
    [DataRow("nonsense")]
    [DataRow()]
    public async Task A_wrong_call_ends_in_2_and_says_why(params string[] args)
    {
        using var line = new CommandLine();
        Assert.AreEqual(ExitCode.WrongCall, await line.Run(args));
        StringAssert.StartsWith(line.Error, "modelbuild: ");
        Assert.AreEqual("", line.Out);
    }

    [TestMethod]
    public async Task A_target_that_the_manifest_has_not_is_a_wrong_call_that_names_those_it_has()
    {
        using var line = new CommandLine();
        Assert.AreEqual(ExitCode.WrongCall, await line.Run("compress", "--manifest", line.Manifest(), "-o", line.File("out"), "--target", "Digit"));
        Assert.Contains("it has Digits", line.Error);
    }

    [TestMethod]
    [DataRow("", "empty")]
    [DataRow("hello, this is text", "text file")]
    [DataRow("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS")]
    public async Task A_file_that_is_no_model_is_one_located_error(string content, string why)
    {
        using var line = new CommandLine();
        var manifest = line.Manifest(model: "bad.onnx");
        File.WriteAllText(line.File("bad.onnx"), content);
        Assert.AreEqual(ExitCode.Failed, await line.Run("compress", "--manifest", manifest, "-o", line.File("out")));
        StringAssert.StartsWith(line.Error, $"{manifest}(3,");
        Assert.Contains("error MBT2001", line.Error);
        Assert.Contains(why, line.Error);
        Assert.HasCount(1, line.Error.Trim().Split('\n'));
    }
}
