using System.Text.Json;
using ModelBuildTasks.Engine.Reporting;

namespace ModelBuildTasks.Engine.Tests.Reporting;

[TestClass]
public sealed class ReportFileTests
{
    private static readonly Report s_report = new(1, "ModelBuildTasks 0.1.0", "ONNX Runtime 1.2.3", [
        new TargetReport
        {
            Name = "Tiny",
            Policy = "ort-cpu",
            Model = new("models/tiny.onnx", "aa", 100),
            Artifact = new("Tiny.onnx", "bb", 50, 50),
            Outcome = "compressed",
            Passes = [new("clean-up", 0.5, "nothing")],
            Validation = new() { Passed = true, Data = "photos", Samples = 3, Metrics = [new("sqnr", null, 40, "min 20 dB", true)], Latency = new(2, 1, 0.5) },
            Layers = [new("conv", "Conv", "int8 static", "as asked", 40, 48, 12)],
        }]);

    [TestMethod]
    public void Keys_are_those_of_the_contract()
    {
        using var json = JsonDocument.Parse(ReportFile.ToJson(s_report));
        var target = json.RootElement.GetProperty("targets")[0];
        Assert.AreEqual(1, json.RootElement.GetProperty("version").GetInt32());
        Assert.AreEqual("models/tiny.onnx", target.GetProperty("model").GetProperty("path").GetString());
        Assert.AreEqual(50, target.GetProperty("artifact").GetProperty("packedSize").GetInt64());
        Assert.AreEqual(0.5, target.GetProperty("passes")[0].GetProperty("seconds").GetDouble());
        Assert.AreEqual("min 20 dB", target.GetProperty("validation").GetProperty("metrics")[0].GetProperty("limit").GetString());
        Assert.AreEqual(0.5, target.GetProperty("validation").GetProperty("latency").GetProperty("ratio").GetDouble());
        Assert.AreEqual(12, target.GetProperty("layers")[0].GetProperty("bytesAfter").GetInt64());
    }

    [TestMethod]
    public void A_report_that_was_written_is_read_the_same()
    {
        using var folder = new TemporaryFolder();
        ReportFile.Write(s_report, folder.File("report.json"));
        Assert.AreEqual(ReportFile.ToJson(s_report), ReportFile.ToJson(ReportFile.TryRead(folder.File("report.json"))!));
        Assert.HasCount(1, Directory.GetFiles(folder.Path));
    }

    [TestMethod]
    [DataRow("")]
    [DataRow("{")]
    [DataRow("{ \"version\": 2, \"tool\": \"\", \"runtime\": \"\", \"targets\": [] }")]
    [DataRow("[1, 2]")]
    public void What_is_no_report_is_read_as_none(string text)
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File("report.json"), text);
        Assert.IsNull(ReportFile.TryRead(folder.File("report.json")));
    }
}
