using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Reporting;

namespace ModelBuildTasks.Engine.Tests.Pipeline;

[TestClass]
public sealed class CompressorTests
{
    [TestMethod]
    public void A_target_becomes_a_file_that_loads_and_a_row_of_the_report()
    {
        using var bench = new Bench();
        var result = bench.Run();

        Assert.IsTrue(result.Succeeded, string.Join('\n', result.Targets.SelectMany(t => t.Diagnostics)));
        using (var session = new Session(bench.Artifact))
            Assert.HasCount(1, session.Outputs);
        var report = ReportFile.TryRead(Path.Combine(bench.Output, "report.json"))!.Targets.Single();
        Assert.AreEqual("compressed", report.Outcome);
        Assert.AreEqual("tiny.onnx", report.Model.Path);
        Assert.AreEqual(new FileInfo(bench.ModelPath).Length, report.Model.Size);
        Assert.AreEqual(new FileInfo(bench.Artifact).Length, report.Artifact!.Size);
        Assert.AreEqual(Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(File.ReadAllBytes(bench.Artifact))), report.Artifact.Sha256);
        CollectionAssert.AreEqual(new[] { "clean-up", "quantize" }, report.Passes.Select(p => p.Name).ToArray());
        Assert.AreEqual(new LayerReport("product", "MatMul", "int8 static", "as asked", 40, 48, 12), report.Layers.Single());

        // Every weight is 1 % smaller: 10·log10(1/0.01²) = 40 dB.
        Assert.AreEqual(40, report.Validation!.Metrics.Single(m => m.Name == "sqnr").Compressed, 1e-3);
        Assert.IsNull(report.Validation.Latency);
        CollectionAssert.AreEquivalent(new[] { "Tiny.onnx", "report.json" }, Directory.GetFileSystemEntries(bench.Output).Select(Path.GetFileName).ToArray());
    }

    [TestMethod]
    public void A_missed_gate_is_an_error_at_its_line_and_leaves_the_previous_artifact()
    {
        using var bench = new Bench();
        bench.Gates(Bench.Gate(Metric.Sqnr, LimitKind.Min, 45));
        Directory.CreateDirectory(bench.Output);
        File.WriteAllText(bench.Artifact, "previous");
        var result = bench.Run();

        Assert.IsFalse(result.Succeeded);
        Assert.AreEqual("compression.yaml(12,7): error MBT3003: Tiny: sqnr 40 dB is below the 45 dB that line 12 asks for", result.Targets[0].Diagnostics.Single().ToString());
        Assert.IsNull(result.Targets[0].ArtifactPath);
        Assert.AreEqual("previous", File.ReadAllText(bench.Artifact));
        var report = ReportFile.TryRead(Path.Combine(bench.Output, "report.json"))!.Targets.Single();
        Assert.AreEqual("failed", report.Outcome);
        Assert.IsFalse(report.Validation!.Passed);
        Assert.AreEqual(result.Targets[0].Diagnostics.Single().ToString(), report.Diagnostics.Single());
    }

    [TestMethod]
    public void With_on_failure_warn_the_artifact_is_used_and_the_gate_warns()
    {
        using var bench = new Bench();
        bench.Gates(Bench.Gate(Metric.Sqnr, LimitKind.Min, 45));
        bench.Target = bench.Target with { OnFailure = OnFailure.Warn };
        var result = bench.Run();

        Assert.IsTrue(result.Succeeded);
        Assert.AreEqual(DiagnosticSeverity.Warning, result.Targets[0].Diagnostics.Single().Severity);
        Assert.AreEqual("MBT3003", result.Targets[0].Diagnostics.Single().Code);
        Assert.IsLessThan(new FileInfo(bench.ModelPath).Length, new FileInfo(bench.Artifact).Length);
        Assert.AreEqual("compressed", result.Report.Targets[0].Outcome);
    }

    [TestMethod]
    public void With_on_failure_original_the_untouched_bytes_are_used_and_two_warnings_tell()
    {
        using var bench = new Bench();
        bench.Gates(Bench.Gate(Metric.Sqnr, LimitKind.Min, 45));
        bench.Target = bench.Target with { OnFailure = OnFailure.Original };
        var result = bench.Run();

        CollectionAssert.AreEqual(File.ReadAllBytes(bench.ModelPath), File.ReadAllBytes(bench.Artifact));
        CollectionAssert.AreEqual(new[] { "MBT3003", "MBT3009" }, result.Targets[0].Diagnostics.Select(d => d.Code).ToArray());
        Assert.IsTrue(result.Succeeded);
        Assert.AreEqual("original", result.Report.Targets[0].Outcome);
        Assert.AreEqual("left", result.Report.Targets[0].Layers.Single().Decision);
        Assert.AreEqual(result.Report.Targets[0].Model.Sha256, result.Report.Targets[0].Artifact!.Sha256);
    }

    [TestMethod]
    public void An_unforeseen_exception_is_an_internal_error_of_one_line_and_does_not_stop_other_targets()
    {
        using var bench = new Bench();
        var runs = 0;
        bench.More.Add(bench.Target with { Name = "Second" });
        bench.Pass = (model, _) => runs++ == 0 ? throw new ArithmeticException("overflow in\nthe pass") : Bench.Done(TinyModel.Shrink(model));
        var result = bench.Run();

        var line = result.Targets[0].Diagnostics.Single().ToString();
        StringAssert.StartsWith(line, "compression.yaml(3,5): error MBT9001: Tiny: internal error: ArithmeticException: overflow in the pass");
        Assert.DoesNotContain("   at ", line);
        Assert.IsFalse(File.Exists(bench.Artifact));
        Assert.IsTrue(File.Exists(Path.Combine(bench.Output, "Second.onnx")));
        Assert.HasCount(2, ReportFile.TryRead(Path.Combine(bench.Output, "report.json"))!.Targets);
    }

    [TestMethod]
    public void An_error_of_a_pass_without_a_place_stands_at_the_model()
    {
        using var bench = new Bench { Pass = (_, _) => throw new ModelBuildException(DiagnosticCodes.DataMissing, "no data") };
        Assert.AreEqual("compression.yaml(4,7): error MBT1023: no data", bench.Run().Targets[0].Diagnostics.Single().ToString());
    }

    [TestMethod]
    public void An_artifact_that_ONNX_Runtime_refuses_is_not_put_in_place()
    {
        using var bench = new Bench();
        bench.Pass = (model, _) =>
        {
            var broken = TinyModel.Shrink(model);
            broken.Graph.Node[0].OpType = "NoSuchOperator";
            return Bench.Done(broken);
        };
        var result = bench.Run();

        Assert.AreEqual("MBT2005", result.Targets[0].Diagnostics.Single().Code);
        StringAssert.Contains(result.Targets[0].Diagnostics.Single().Message, "NoSuchOperator");
        CollectionAssert.AreEqual(new[] { "report.json" }, Directory.GetFileSystemEntries(bench.Output).Select(Path.GetFileName).ToArray());
    }

    [TestMethod]
    public void An_original_that_ONNX_Runtime_refuses_is_said_before_any_pass_runs()
    {
        var model = TinyModel.Create();
        model.Graph.Node[0].OpType = "NoSuchOperator";
        using var bench = new Bench(model);
        var result = bench.Run();

        Assert.AreEqual("MBT2004", result.Targets[0].Diagnostics.Single().Code);
        Assert.AreEqual(4, result.Targets[0].Diagnostics.Single().Location!.Value.Line);
        Assert.AreEqual(0, bench.Runs);
    }

    [TestMethod]
    public void NaN_in_the_artifact_fails_the_gate_and_says_so()
    {
        using var bench = new Bench { Pass = (model, _) => Bench.Done(TinyModel.Shrink(model, w => w == 0.5f ? float.NaN : w)) };
        bench.Gates(Bench.Gate(Metric.Agreement, LimitKind.Min, 0));
        var diagnostic = bench.Run().Targets[0].Diagnostics.Single();

        Assert.AreEqual("MBT3002", diagnostic.Code);
        StringAssert.Contains(diagnostic.Message, "NaN or infinity in 12 of 12 values");
    }

    [TestMethod]
    public void NaN_in_the_artifact_fails_a_target_without_gates_too()
    {
        using var bench = new Bench { Pass = (model, _) => Bench.Done(TinyModel.Shrink(model, _ => float.NaN)) };
        Assert.AreEqual("MBT2005", bench.Run().Targets[0].Diagnostics.Single().Code);
        Assert.IsFalse(File.Exists(bench.Artifact));
    }

    [TestMethod]
    public void Accuracy_without_labels_is_refused_at_the_gate_before_any_pass_runs()
    {
        using var bench = new Bench();
        bench.Gates(Bench.Gate(Metric.Accuracy, LimitKind.MaxDrop, 0.01));
        var diagnostic = bench.Run().Targets[0].Diagnostics.Single();

        StringAssert.StartsWith(diagnostic.ToString(), "compression.yaml(12,7): error MBT1023: accuracy needs labels");
        Assert.AreEqual(0, bench.Runs);
    }

    [TestMethod]
    public void Random_inputs_on_which_the_original_does_not_run_are_reported_and_no_failure()
    {
        using var bench = new Bench { Data = new([[1, 2, 3]]) };
        bench.Gates(Bench.Gate(Metric.Size, LimitKind.Max, 1e6));
        var result = bench.Run();

        Assert.IsTrue(result.Succeeded);
        StringAssert.StartsWith(result.Report.Targets[0].Validation!.Data, "none: the model does not run on random inputs");
        Assert.AreEqual("size", result.Report.Targets[0].Validation!.Metrics.Single().Name);
    }

    [TestMethod]
    public void Random_inputs_on_which_the_original_does_not_run_fail_a_gate_that_needs_them()
    {
        using var bench = new Bench { Data = new([[1, 2, 3]]) };
        bench.Gates(Bench.Gate(Metric.Sqnr, LimitKind.Min, 10));
        StringAssert.StartsWith(bench.Run().Targets[0].Diagnostics.Single().ToString(), "compression.yaml(12,7): error MBT1023: sqnr needs data");
    }

    [TestMethod]
    public void Named_data_on_which_the_original_does_not_run_is_an_error_of_the_original()
    {
        using var bench = new Bench();
        bench.UseData(new([[1, 2, 3]]));
        Assert.AreEqual("MBT2004", bench.Run().Targets[0].Diagnostics.Single().Code);
    }

    [TestMethod]
    public void Cancelling_ends_in_a_pass_and_puts_nothing_in_place()
    {
        using var source = new CancellationTokenSource();
        using var bench = new Bench();
        bench.Pass = (model, context) =>
        {
            source.Cancel();
            context.Progress!(0.5);
            return Bench.Done(TinyModel.Shrink(model));
        };
        Assert.ThrowsExactly<OperationCanceledException>(() => bench.Run(source.Token));
        Assert.IsEmpty(Directory.GetFileSystemEntries(bench.Output));
    }

    [TestMethod]
    public void Artifact_and_metrics_do_not_depend_on_threads()
    {
        using var bench = new Bench();
        var one = bench.Run();
        var bytes = File.ReadAllBytes(bench.Artifact);
        bench.Change = r => r with { Threads = 3 };
        var three = bench.Run();

        CollectionAssert.AreEqual(bytes, File.ReadAllBytes(bench.Artifact));
        CollectionAssert.AreEqual(one.Report.Targets[0].Validation!.Metrics.ToArray(), three.Report.Targets[0].Validation!.Metrics.ToArray());
    }

    [TestMethod]
    public void An_artifact_never_takes_the_place_of_an_original()
    {
        using var bench = new Bench();
        var before = File.ReadAllBytes(bench.ModelPath);
        bench.Target = bench.Target with { Name = "tiny" };
        bench.Change = r => r with { OutputDirectory = Path.GetDirectoryName(bench.ModelPath)! };
        Assert.AreEqual("MBT2007", bench.Run().Targets[0].Diagnostics.Single().Code);
        CollectionAssert.AreEqual(before, File.ReadAllBytes(bench.ModelPath));
    }

    [TestMethod]
    public void Without_a_check_the_result_is_written_unloaded_and_marked()
    {
        using var bench = new Bench { Change = r => r with { Check = false } };
        bench.Pass = (model, _) =>
        {
            var broken = TinyModel.Shrink(model);
            broken.Graph.Node[0].OpType = "NoSuchOperator";
            return Bench.Done(broken);
        };
        var result = bench.Run();

        Assert.IsTrue(result.Succeeded);
        Assert.IsTrue(File.Exists(bench.Artifact));
        Assert.IsFalse(result.Report.Targets[0].Checked);
    }

    [TestMethod]
    public void Without_validation_the_result_is_loaded_but_not_run()
    {
        using var bench = new Bench { Change = r => r with { Validate = false } };
        bench.Gates(Bench.Gate(Metric.Sqnr, LimitKind.Min, 45));
        var result = bench.Run();
        Assert.IsTrue(result.Succeeded);
        Assert.IsNull(result.Report.Targets[0].Validation);
    }

    [TestMethod]
    public void One_target_can_be_asked_for_by_name()
    {
        using var bench = new Bench { Change = r => r with { Target = "Second" } };
        bench.More.Add(bench.Target with { Name = "Second" });
        Assert.AreEqual("Second", bench.Run().Targets.Single().Plan.Name);

        bench.Change = r => r with { Target = "Third" };
        Assert.AreEqual("MBT1007", Assert.ThrowsExactly<ModelBuildException>(() => bench.Run()).First.Code);
    }

    [TestMethod]
    public void A_latency_gate_measures_both_models_and_judges_their_ratio()
    {
        using var bench = new Bench();
        bench.Gates(Bench.Gate(Metric.Latency, LimitKind.Ratio, 1e-6));
        var result = bench.Run();

        var latency = result.Report.Targets[0].Validation!.Latency!;
        Assert.IsGreaterThan(0, latency.OriginalMs);
        Assert.IsGreaterThan(0, latency.CompressedMs);
        StringAssert.StartsWith(result.Targets[0].Diagnostics.Single().Message, "Tiny: latency ratio ");
        Assert.AreEqual("MBT3008", result.Targets[0].Diagnostics.Single().Code);
    }
}
