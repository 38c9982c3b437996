using System.Diagnostics;
using ModelBuildTasks.Tool.Building;

namespace ModelBuildTasks.Tests.Building;

[TestClass]
public sealed class BuildCommandTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly StringWriter _output = new();

    [TestMethod]
    public void A_wrong_call_has_its_own_exit_code() => Assert.AreEqual(2, BuildCommand.Run(["--what"], _output));

    [TestMethod]
    public void A_manifest_that_does_not_exist_is_one_coded_error()
    {
        Assert.AreEqual(1, Run(_folder["compression.yaml"]));
        Assert.Contains("ModelBuildTasks: error MBT1009: ", _output.ToString());
    }

    [TestMethod]
    public void Originals_are_passed_through_byte_for_byte()
    {
        Assert.AreEqual(0, Run(Manifest("  - { model: iris.onnx, name: Iris, recipe: int8-weights }"), enabled: false), _output.ToString());
        Assert.AreSequenceEqual(File.ReadAllBytes(_folder["iris.onnx"]), File.ReadAllBytes(_folder["out/Iris.onnx"]));
        Assert.IsTrue(File.Exists(_folder["out/stamp"]));
        Assert.Contains("class Iris", File.ReadAllText(_folder["out/CompressedModels.g.cs"]));
    }

    [TestMethod]
    public void An_original_that_is_passed_through_has_the_time_of_the_build()
    {
        var manifest = Manifest("  - { model: iris.onnx, name: Iris, recipe: int8-weights, package: { as: content } }");
        File.SetLastWriteTimeUtc(_folder["iris.onnx"], new DateTime(2020, 1, 1, 0, 0, 0, DateTimeKind.Utc));
        Assert.AreEqual(0, Run(manifest, enabled: false), _output.ToString());
        Assert.IsGreaterThan(DateTime.UtcNow.AddHours(-1), File.GetLastWriteTimeUtc(_folder["out/Iris.onnx"]));
    }

    [TestMethod]
    public void What_is_no_longer_in_the_manifest_is_removed()
    {
        Run(Manifest("  - { model: iris.onnx, name: First, recipe: int8-weights }"), enabled: false);
        _folder.Write("out/half.onnx.1.tmp", "");
        Run(Manifest("  - { model: iris.onnx, name: Second, recipe: int8-weights }"), enabled: false);
        Assert.IsFalse(File.Exists(_folder["out/First.onnx"]));
        Assert.IsFalse(File.Exists(_folder["out/half.onnx.1.tmp"]));
        Assert.IsTrue(File.Exists(_folder["out/Second.onnx"]));
    }

    [TestMethod]
    public void An_output_that_stays_the_same_keeps_its_time()
    {
        var manifest = Manifest("  - { model: iris.onnx, name: Iris, recipe: int8-weights }");
        Run(manifest, enabled: false);
        var past = new DateTime(2020, 1, 1, 0, 0, 0, DateTimeKind.Utc);
        foreach (var file in new[] { "Iris.onnx", "CompressedModels.g.cs", "stamp" })
            File.SetLastWriteTimeUtc(_folder["out/" + file], past);
        Run(manifest, enabled: false);
        Assert.AreEqual(past, File.GetLastWriteTimeUtc(_folder["out/Iris.onnx"]));
        Assert.AreEqual(past, File.GetLastWriteTimeUtc(_folder["out/CompressedModels.g.cs"]));
        Assert.AreNotEqual(past, File.GetLastWriteTimeUtc(_folder["out/stamp"]));
    }

    [TestMethod]
    public void A_failure_leaves_the_last_outputs_and_takes_the_stamp()
    {
        Run(Manifest("  - { model: iris.onnx, name: Iris, recipe: int8-weights }"), enabled: false);
        var before = File.ReadAllBytes(_folder["out/Iris.onnx"]);
        Assert.AreEqual(1, Run(Manifest("  - { model: gone.onnx, name: Iris, recipe: int8-weights }"), enabled: false));
        Assert.AreSequenceEqual(before, File.ReadAllBytes(_folder["out/Iris.onnx"]));
        Assert.IsFalse(File.Exists(_folder["out/stamp"]));
        Assert.Contains(_folder["gone.onnx"], File.ReadAllText(_folder["out/deps"]));
        Assert.Contains($"{_folder["compression.yaml"]}(3,", _output.ToString());
        Assert.Contains(": error MBT1009: ", _output.ToString());
    }

    [TestMethod]
    public void Two_manifests_must_not_give_the_same_name()
    {
        var first = Manifest("  - { model: iris.onnx, name: Iris, recipe: int8-weights }");
        var second = _folder.Write("more.yaml", "version: 1\ntargets:\n  - { model: iris.onnx, name: Iris, recipe: int8-weights }\n");
        Assert.AreEqual(1, Run([first, second], enabled: false));
        Assert.Contains("more.yaml(3,", _output.ToString());
        Assert.Contains("error MBT1008", _output.ToString());
    }

    [TestMethod]
    public void A_plan_writes_names_without_compressing_and_a_build_then_runs_again()
    {
        var manifest = Manifest("  - { model: iris.onnx, name: Iris, recipe: int8-weights }");
        Run(manifest, enabled: false);
        Manifest("  - { model: iris.onnx, name: Iris, recipe: int8-weights }\n  - { model: iris.onnx, name: Another, recipe: int8-weights }");
        Assert.AreEqual(0, Run([manifest], enabled: true, "--plan"));
        var accessor = File.ReadAllText(_folder["out/CompressedModels.g.cs"]);
        Assert.Contains("class Another", accessor);
        Assert.Contains($"return {new FileInfo(_folder["iris.onnx"]).Length}L;", accessor);
        Assert.IsFalse(File.Exists(_folder["out/Another.onnx"]));
        Assert.IsFalse(File.Exists(_folder["out/stamp"]));
    }

    [TestMethod]
    public void A_damaged_original_is_an_error_at_its_place_in_the_manifest()
    {
        var manifest = Manifest("  - { model: bad.onnx, name: Bad, recipe: int8-weights }");
        _folder.Write("bad.onnx", "version https://git-lfs.github.com/spec/v1\n");
        Assert.AreEqual(1, Run(manifest, enabled: false));
        Assert.Contains("compression.yaml(3,", _output.ToString());
        Assert.Contains("error MBT2001", _output.ToString());
    }

    [TestMethod]
    public void An_encoding_that_is_given_up_leaves_no_encoded_file()
    {
        Assert.AreEqual(0, Run(Manifest("  - { model: iris.onnx, name: Iris, recipe: lossless, package: { encoding: brotli } }")), _output.ToString());
        Assert.IsTrue(File.Exists(_folder["out/Iris.onnx.br"]));
        var packed = new FileInfo(_folder["out/Iris.onnx.br"]).Length;
        Assert.StartsWith($"Iris\t{packed}\t", File.ReadAllText(_folder["out/outputs"]));
        Assert.Contains($"{packed:N0} packed", _output.ToString());

        Assert.AreEqual(0, Run(Manifest("  - { model: iris.onnx, name: Iris, recipe: lossless }")), _output.ToString());
        Assert.IsFalse(File.Exists(_folder["out/Iris.onnx.br"]));
        Assert.IsTrue(File.Exists(_folder["out/Iris.onnx"]));
    }

    [TestMethod]
    [DataRow("", "MBT2030", "as: content")]
    [DataRow(", package: { encoding: brotli }", "MBT2031", "encoding: none")]
    [DataRow(", package: { as: content, encoding: brotli }", "MBT2031", "encoding: none")]
    public void A_model_with_a_data_file_is_not_embedded_or_encoded(string package, string code, string remedy)
    {
        Run(Manifest("  - { model: mnist.onnx, name: Digits, recipe: int8-weights, package: { as: content } }"));
        var before = File.ReadAllBytes(_folder["out/Digits.onnx"]);
        var manifest = Manifest($"  - {{ model: mnist.onnx, name: Digits, recipe: int8-weights{package} }}");
        Assert.IsFalse(RunLarge(manifest));
        Assert.Contains($"compression.yaml(3,{(package.Length == 0 ? 5 : 71)}", _output.ToString());
        Assert.Contains($"error {code}: ", _output.ToString());
        Assert.Contains(remedy, _output.ToString());
        Assert.AreSequenceEqual(before, File.ReadAllBytes(_folder["out/Digits.onnx"]), "the last good state stays");
        Assert.IsFalse(File.Exists(_folder["out/Digits.onnx.data"]));
    }

    [TestMethod]
    public void A_model_next_to_the_app_brings_its_data_file_and_loses_it_when_it_gets_small()
    {
        var manifest = Manifest("  - { model: mnist.onnx, name: Digits, recipe: int8-weights, package: { as: content } }");
        Assert.IsTrue(RunLarge(manifest), _output.ToString());
        Assert.Contains("\tcontent\tnone\t", File.ReadAllText(_folder["out/outputs"]));
        Assert.Contains("\tdata\t", File.ReadAllText(_folder["out/outputs"]));
        Assert.Contains("Digits.onnx.data", File.ReadAllText(_folder["out/CompressedModels.g.cs"]));
        using (new Microsoft.ML.OnnxRuntime.InferenceSession(_folder["out/Digits.onnx"]))
            Assert.IsTrue(File.Exists(_folder["out/Digits.onnx.data"]));

        Assert.IsTrue(RunLarge(manifest), _output.ToString());
        Assert.Contains("(from the cache)", _output.ToString());
        Assert.IsTrue(File.Exists(_folder["out/Digits.onnx.data"]));

        Assert.AreEqual(0, Run(manifest), _output.ToString());
        Assert.IsFalse(File.Exists(_folder["out/Digits.onnx.data"]));
        using (new Microsoft.ML.OnnxRuntime.InferenceSession(_folder["out/Digits.onnx"]))
            Assert.DoesNotContain("DataPath", File.ReadAllText(_folder["out/CompressedModels.g.cs"]));
    }

    [TestMethod]
    [DataRow("Iris.onnx")]
    [DataRow("Iris.onnx.data")]
    [DataRow("Iris.onnx.br")]
    public void A_folder_in_an_outputs_place_is_an_error_before_any_work(string name)
    {
        Run(Manifest("  - { model: iris.onnx, name: Other, recipe: lossless }"));
        var before = File.ReadAllText(_folder["out/outputs"]);
        Directory.CreateDirectory(_folder["out/" + name]);
        var manifest = Manifest("  - { model: iris.onnx, name: Iris, recipe: lossless }\n  - { model: iris.onnx, name: Other, recipe: int8-weights }");
        Assert.AreEqual(1, Run(manifest));
        Assert.Contains("compression.yaml(3,5", _output.ToString());
        Assert.Contains("error MBT2007: Iris: ", _output.ToString());
        Assert.AreEqual(before, File.ReadAllText(_folder["out/outputs"]));
        Assert.IsFalse(Directory.Exists(_folder["out/stage"]));
    }

    [TestMethod]
    public void An_output_folder_that_is_a_file_is_one_coded_error()
    {
        _folder.Write("out", "a file");
        Assert.AreEqual(1, Run(Manifest("  - { model: iris.onnx, name: Iris, recipe: lossless }")));
        Assert.Contains("error MBT2007: ", Assert.ContainsSingle(_output.ToString().Split('\n').Where(l => l.Contains("error", StringComparison.Ordinal))));
    }

    [TestMethod]
    public void A_held_folder_is_waited_for()
    {
        var held = FolderLock.Wait(_folder.Path, () => Assert.Fail("nobody holds it"));
        var waiting = new ManualResetEventSlim();
        var second = Task.Run(() => FolderLock.Wait(_folder.Path, waiting.Set));
        Assert.IsTrue(waiting.Wait(TimeSpan.FromSeconds(10)));
        Assert.IsFalse(second.IsCompleted);
        held.Dispose();
        Assert.IsTrue(second.Wait(TimeSpan.FromSeconds(10)));
        second.Result.Dispose();
    }

    [TestMethod]
    [OSCondition(ConditionMode.Exclude, OperatingSystems.Windows)]
    public void A_worker_ends_when_the_process_that_started_it_is_killed()
    {
        // The worker waits for the folder as long as the test holds it.
        using var held = FolderLock.Wait(_folder["out"], () => { });
        using var parent = Process.Start("sleep", "60");
        var request = Request([Manifest("  - { model: iris.onnx, name: Iris, recipe: int8-weights }")], enabled: false, parent.Id);
        using var worker = Process.Start(new ProcessStartInfo("dotnet", ["exec", Path.Combine(AppContext.BaseDirectory, "modelbuild.dll"), "build", "--request", request]) { RedirectStandardOutput = true })!;
        Assert.Contains("waiting", worker.StandardOutput.ReadLine()!);
        Assert.IsFalse(worker.HasExited);
        parent.Kill();
        Assert.IsTrue(worker.WaitForExit(TimeSpan.FromSeconds(20)));
    }

    public void Dispose()
    {
        _output.Dispose();
        _folder.Dispose();
    }

    private string Manifest(string targets)
    {
        File.Copy(Path.Combine(AppContext.BaseDirectory, "data", "iris", "iris_network.onnx"), _folder["iris.onnx"], overwrite: true);
        File.Copy(Path.Combine(AppContext.BaseDirectory, "data", "mnist", "mnist.onnx"), _folder["mnist.onnx"], overwrite: true);
        return _folder.Write("compression.yaml", "version: 1\ntargets:\n" + targets + "\n");
    }

    private int Run(string manifest, bool enabled = true) => Run([manifest], enabled);

    private int Run(string[] manifests, bool enabled, params string[] more) =>
        BuildCommand.Run(["--request", Request(manifests, enabled, parent: 0), .. more], _output);

    /// <summary>As a model of more than 2 GB would be: its tensors in a data file.</summary>
    private bool RunLarge(string manifest)
    {
        var log = new BuildLog(_output, _folder.Path);
        try
        {
            return BuildRun.Compress(BuildRequest.Read(Request([manifest], enabled: true, parent: 0)) with { InlineLimit = 0 }, log);
        }
        catch (ModelBuildTasks.Engine.Diagnostics.ModelBuildException e)
        {
            log.Write(e.Diagnostics);
            return false;
        }
    }

    private string Request(string[] manifests, bool enabled, int parent) =>
        _folder.Write("request", $"""
            project={_folder.Path}
            output={_folder["out"]}
            cache={_folder["cache"]}
            namespace=App
            enabled={enabled}
            threads=1
            parent={parent}
            {string.Join('\n', manifests.Select(m => "manifest=" + m))}
            """);
}
