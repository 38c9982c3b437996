using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Tests.Pipeline;

namespace ModelBuildTasks.Engine.Tests;

[TestClass]
public sealed class LatencyMeterTests
{
    [TestMethod]
    public void A_model_timed_against_itself_takes_about_the_same_time()
    {
        using var folder = new TemporaryFolder();
        using var model = TinyModel.Create();
        model.Save(folder.File("m.onnx"));
        var report = LatencyMeter.Measure(folder.File("m.onnx"), folder.File("m.onnx"), TinyData.Unlabelled.Batches().First(), 1, CancellationToken.None);
        Assert.IsGreaterThan(0.2, report.Ratio);
        Assert.IsLessThan(5, report.Ratio);
    }

    [TestMethod]
    public void Medians_are_those_of_the_middle()
    {
        Assert.AreEqual(2, LatencyMeter.Median([3, 1, 2]));
        Assert.AreEqual(2.5, LatencyMeter.Median([4, 1, 2, 3]));
    }
}
