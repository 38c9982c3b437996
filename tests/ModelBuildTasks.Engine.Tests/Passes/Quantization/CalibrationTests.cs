using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Passes.Quantization;
using ModelBuildTasks.Engine.Passes.Quantization.Equalization;
using ModelBuildTasks.Engine.Statistics;

namespace ModelBuildTasks.Engine.Tests.Passes.Quantization;

/// <summary>How often the calibration data is read.</summary>
[TestClass]
public sealed class CalibrationTests
{
    private static readonly QuantizePlan Plan = QuantizeTests.Plan(ActivationMode.Uint8);

    [TestMethod]
    public void Another_choice_of_options_reads_no_data_again()
    {
        using var folder = new TemporaryFolder();
        var model = QuantizeTests.ConvChain("Relu").Model;
        var data = new CountedBatches(ListDataset.Random(model, 5), "a");
        var first = Run(Plan, folder.Path);
        Assert.AreEqual(5, data.Read);
        Run(Plan with { Calibrator = Calibrator.Entropy }, folder.Path);
        Run(Plan with { AdaRound = false, BiasCorrection = false }, folder.Path);
        var again = Run(Plan, folder.Path);
        Assert.AreEqual(5, data.Read);
        CollectionAssert.AreEqual(first, again);
        // What comes out of the store is what came out of the data.
        CollectionAssert.AreEqual(first, Run(Plan, null));
        Assert.AreEqual(10, data.Read);

        byte[] Run(QuantizePlan plan, string? store) =>
            Quantize.Run(model, plan, QuantizeTests.Context(data) with { Statistics = new StatisticsStore(store) }).Model.ToBytes();
    }

    [TestMethod]
    [DataRow(true)]
    [DataRow(false)]
    public void What_repairs_need_is_seen_in_the_same_pass(bool quantizesStatically)
    {
        var model = QuantizeTests.ConvChain("Relu").Model;
        var data = new CountedBatches(ListDataset.Random(model, 5), "a");
        var context = QuantizeTests.Context(data);
        var needs = Repairs.Needs(model, Plan);
        CollectionAssert.AreEquivalent(new[] { "a", "b" }, needs.Keys.ToArray());
        var calibration = new Calibration(model, Plan, context);
        var choices = quantizesStatically ? new FormSelection(model, Plan, context).Choose() : [];
        calibration.Observe(new GraphIndex(model, model.Graph), choices, [], needs);
        Assert.AreEqual(5, data.Read);
        var alone = Repairs.Begin(model, Plan, context).Channels;
        var shared = Repairs.Begin(model, calibration.Statistics).Channels;
        foreach (var name in needs.Keys)
        {
            CollectionAssert.AreEqual(alone[name].Min, shared[name].Min);
            CollectionAssert.AreEqual(alone[name].Max, shared[name].Max);
            CollectionAssert.AreEqual(alone[name].Mean, shared[name].Mean);
            CollectionAssert.AreEqual(alone[name].MeanSquare, shared[name].MeanSquare);
        }
    }

    [TestMethod]
    public void Repairs_observe_through_the_store()
    {
        using var folder = new TemporaryFolder();
        var model = QuantizeTests.ConvChain("Relu").Model;
        var data = new CountedBatches(ListDataset.Random(model, 5), "a");
        for (var i = 0; i < 2; i++)
            Assert.HasCount(2, Repairs.Begin(model, Plan, QuantizeTests.Context(data) with { Statistics = new StatisticsStore(folder.Path) }).Channels);
        Assert.AreEqual(5, data.Read);
    }

    private sealed class CountedBatches(IDataset data, string hash) : IDataset
    {
        public int Read { get; private set; }

        public long Count => data.Count;

        public bool HasLabels => false;

        public string Description => "counted";

        public string ContentHash => hash;

        public IEnumerable<Batch> Batches()
        {
            foreach (var batch in data.Batches())
            {
                Read++;
                yield return batch;
            }
        }
    }
}
