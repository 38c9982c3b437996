using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Statistics;
using ModelBuildTasks.Engine.Tests.Onnx;
using ModelBuildTasks.Engine.Tests.Passes.Quantization;

namespace ModelBuildTasks.Engine.Tests.Statistics;

[TestClass]
public sealed class StatisticsCollectorTests
{
    [TestMethod]
    public void Statistics_are_the_same_for_any_number_of_threads()
    {
        using var model = OnnxModel.Load(TestData.Path("digits_mobile/digits_mobile.onnx"));
        var data = ListDataset.Random(model, 12);
        string[] names = [.. model.Graph.Node.Where(n => n.OpType is "Conv" or "Clip").Select(n => n.Output[0])];
        var one = StatisticsCollector.Collect(model, names, data, threads: 1);
        var four = StatisticsCollector.Collect(model, names, data, threads: 4);
        Assert.HasCount(names.Length, one);
        foreach (var name in names)
        {
            Assert.AreEqual((one[name].Min, one[name].Max), (four[name].Min, four[name].Max));
            CollectionAssert.AreEqual(one[name].Histogram.Bins().ToList(), four[name].Histogram.Bins().ToList());
            Assert.IsGreaterThan(0, one[name].Histogram.Count);
        }
    }

    [TestMethod]
    public void Statistics_are_the_same_for_any_split_into_batches()
    {
        using var model = OnnxModel.Load(TestData.Path("digits_mobile/digits_mobile.onnx"));
        var random = new Random(1);
        float[] pixels = [.. Enumerable.Range(0, 12 * 784).Select(_ => (float)random.NextDouble())];
        string[] names = ["image", .. model.Graph.Node.Where(n => n.OpType is "Conv" or "Clip").Select(n => n.Output[0])];
        var axes = names.ToDictionary(n => n, _ => 1);
        var one = StatisticsCollector.Collect(model, names, Split(1), channelAxes: axes);
        var four = StatisticsCollector.Collect(model, names, Split(4), threads: 3, channelAxes: axes);
        foreach (var name in names)
        {
            Assert.AreEqual(one[name].Samples.Mean(), four[name].Samples.Mean());
            CollectionAssert.AreEqual(one[name].Histogram.Bins().ToList(), four[name].Histogram.Bins().ToList());
            foreach (var calibrator in Enum.GetValues<Engine.Manifest.Calibrator>())
                Assert.AreEqual(RangeSearch.Find(one[name], calibrator), RangeSearch.Find(four[name], calibrator));
        }

        ListDataset Split(int size) => new([.. pixels.Chunk(784 * size)
            .Select(c => ListDataset.Batch("image", [size, 1, 28, 28], c) with { Count = size })]);
    }

    [TestMethod]
    public void Values_that_are_not_float_are_left_out_and_non_finite_ones_are_told()
    {
        var model = new SmallModel().Input("x", 4).Node("Log", "x", "l").Node("Shape", "x", "s").Output("l", "s").Model;
        var data = new ListDataset([ListDataset.Batch("x", [4], -1f, 0f, 1f, 2f)]);
        var statistics = StatisticsCollector.Collect(model, ["x", "l", "s"], data);
        Assert.IsFalse(statistics.ContainsKey("s"));
        Assert.IsFalse(statistics["x"].HasNonFinite);
        Assert.IsTrue(statistics["l"].HasNonFinite);
        Assert.AreEqual(MathF.Log(2), statistics["l"].Max);
    }

    [TestMethod]
    public void A_model_that_fails_on_the_data_is_a_coded_error()
    {
        var model = new SmallModel().Input("x", -1).Floats("w", [3, 2], 1, 2, 3, 4, 5, 6).Node("MatMul", "x,w", "y").Output("y").Model;
        var data = new ListDataset([ListDataset.Batch("x", [4], 1f, 2f, 3f, 4f)]);
        var error = Assert.ThrowsExactly<ModelBuildException>(() => StatisticsCollector.Collect(model, ["y"], data));
        Assert.AreEqual(DiagnosticCodes.OriginalDoesNotRun, error.First.Code);
    }
}
