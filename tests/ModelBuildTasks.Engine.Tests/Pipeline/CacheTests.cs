using ModelBuildTasks.Engine.Manifest;

namespace ModelBuildTasks.Engine.Tests.Pipeline;

[TestClass]
public sealed class CacheTests
{
    [TestMethod]
    public void The_same_target_comes_from_the_cache_with_the_same_bytes_and_metrics()
    {
        using var bench = Cached();
        var first = bench.Run();
        var bytes = File.ReadAllBytes(bench.Artifact);
        File.Delete(bench.Artifact);
        var second = bench.Run();

        Assert.IsFalse(first.Targets[0].CacheHit);
        Assert.IsTrue(second.Targets[0].CacheHit);
        Assert.AreEqual(1, bench.Runs);
        CollectionAssert.AreEqual(bytes, File.ReadAllBytes(bench.Artifact));
        Assert.AreEqual(Engine.Reporting.ReportFile.ToJson(first.Report), Engine.Reporting.ReportFile.ToJson(second.Report));
    }

    [TestMethod]
    public void Another_name_and_another_place_of_the_model_come_from_the_cache()
    {
        using var bench = Cached();
        bench.Run();
        File.Copy(bench.ModelPath, bench.File("moved.onnx"));
        bench.Target = bench.Target with { Name = "Other", ModelPath = bench.File("moved.onnx") };
        var result = bench.Run();

        Assert.IsTrue(result.Targets[0].CacheHit);
        Assert.AreEqual("Other", result.Report.Targets[0].Name);
        Assert.AreEqual("moved.onnx", result.Report.Targets[0].Model.Path);
        Assert.AreEqual("Other.onnx", result.Report.Targets[0].Artifact!.Path);
        Assert.IsTrue(File.Exists(Path.Combine(bench.Output, "Other.onnx")));
    }

    [TestMethod]
    public void A_gate_that_moved_recompresses_nothing_and_warns_at_its_new_line()
    {
        using var bench = Cached();
        bench.Target = bench.Target with { OnFailure = OnFailure.Warn };
        bench.Gates(Bench.Gate(Metric.Sqnr, LimitKind.Min, 45));
        bench.Run();
        bench.Gates(Bench.Gate(Metric.Sqnr, LimitKind.Min, 45, line: 99));
        var result = bench.Run();

        Assert.IsTrue(result.Targets[0].CacheHit);
        Assert.AreEqual("compression.yaml(99,7): warning MBT3003: Tiny: sqnr 40 dB is below the 45 dB that line 99 asks for", result.Targets[0].Diagnostics.Single().ToString());
    }

    [TestMethod]
    public void The_original_that_a_missed_gate_left_comes_from_the_cache_with_its_warnings()
    {
        using var bench = Cached();
        bench.Target = bench.Target with { OnFailure = OnFailure.Original };
        bench.Gates(Bench.Gate(Metric.Sqnr, LimitKind.Min, 45));
        var first = bench.Run();
        var second = bench.Run();

        Assert.IsTrue(second.Targets[0].CacheHit);
        CollectionAssert.AreEqual(first.Targets[0].Diagnostics.ToArray(), second.Targets[0].Diagnostics.ToArray());
        CollectionAssert.AreEqual(File.ReadAllBytes(bench.ModelPath), File.ReadAllBytes(bench.Artifact));
    }

    [TestMethod]
    [DataRow("pass")]
    [DataRow("rule")]
    [DataRow("limit")]
    [DataRow("policy")]
    [DataRow("data")]
    [DataRow("on_failure")]
    [DataRow("model")]
    [DataRow("validate")]
    public void What_changes_the_result_is_done_again(string change)
    {
        using var bench = Cached();
        bench.UseData(TinyData.Unlabelled);
        bench.Run();
        switch (change)
        {
            case "pass":
                bench.Target = bench.Target with { Passes = [new QuantizePlan(new("compression.yaml", 5, 9)) { Percentile = 99 }] };
                break;
            case "rule":
                bench.Target = bench.Target with { Rules = [new(new("compression.yaml", 6, 1), ["Gemm"], null, false)] };
                break;
            case "limit":
                bench.Target = bench.Target with { Validation = bench.Target.Validation! with { Gates = [Bench.Gate(Metric.Sqnr, LimitKind.Min, 10)] } };
                break;
            case "policy":
                bench.Target = bench.Target with { Runtime = bench.Target.Runtime with { Origin = "2" } };
                break;
            case "data":
                bench.Data = new([[1, 2, 3, 4]]);
                break;
            case "on_failure":
                bench.Target = bench.Target with { OnFailure = OnFailure.Warn };
                break;
            case "model":
                using (var other = TinyModel.Create(ballast: 1001))
                    other.Save(bench.ModelPath);
                break;
            case "validate":
                bench.Target = bench.Target with { Validation = null };
                break;
        }

        Assert.IsFalse(bench.Run().Targets[0].CacheHit);
        Assert.AreEqual(2, bench.Runs);
    }

    [TestMethod]
    [DataRow("artifact.onnx", "changed")]
    [DataRow("artifact.onnx", "cut")]
    [DataRow("artifact.onnx", "deleted")]
    [DataRow("artifact.onnx", "link")]
    [DataRow("entry.json", "changed")]
    [DataRow("entry.json", "cut")]
    [DataRow("entry.json", "deleted")]
    public void A_damaged_entry_is_no_entry_and_is_mended(string file, string damage)
    {
        using var bench = Cached();
        bench.Run();
        var good = File.ReadAllBytes(bench.Artifact);
        var path = Path.Combine(Directory.GetDirectories(bench.Cache).Single(), file);
        var bytes = File.ReadAllBytes(path);
        switch (damage)
        {
            case "changed":
                bytes[bytes.Length / 2] ^= 0x55;
                File.WriteAllBytes(path, bytes);
                break;
            case "cut":
                File.WriteAllBytes(path, bytes[..(bytes.Length / 2)]);
                break;
            case "deleted":
                File.Delete(path);
                break;
            case "link":
                File.Move(path, bench.File("elsewhere"));
                File.CreateSymbolicLink(path, bench.File("elsewhere"));
                break;
        }

        var result = bench.Run();
        Assert.IsFalse(result.Targets[0].CacheHit);
        Assert.IsTrue(result.Succeeded);
        CollectionAssert.AreEqual(good, File.ReadAllBytes(bench.Artifact));
        Assert.IsTrue(bench.Run().Targets[0].CacheHit);
    }

    [TestMethod]
    public void A_failed_target_is_not_kept()
    {
        using var bench = Cached();
        bench.Gates(Bench.Gate(Metric.Sqnr, LimitKind.Min, 45));
        bench.Run();
        Assert.IsFalse(bench.Run().Targets[0].CacheHit);
        Assert.AreEqual(2, bench.Runs);
    }

    [TestMethod]
    public void A_cache_that_cannot_be_written_slows_down_and_does_not_fail()
    {
        using var bench = new Bench();
        File.WriteAllText(bench.Cache, "a file where the folder should be");
        bench.Change = r => r with { CacheDirectory = bench.Cache };
        Assert.IsTrue(bench.Run().Succeeded);
    }

    private static Bench Cached()
    {
        var bench = new Bench();
        bench.Change = r => r with { CacheDirectory = bench.Cache };
        return bench;
    }
}
