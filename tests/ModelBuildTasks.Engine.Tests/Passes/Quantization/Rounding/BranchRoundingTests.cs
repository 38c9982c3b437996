using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Passes.Quantization;
using ModelBuildTasks.Engine.Passes.Quantization.Rounding;
using ModelBuildTasks.Engine.Statistics;
using ModelBuildTasks.Engine.Tests.Statistics;

namespace ModelBuildTasks.Engine.Tests.Passes.Quantization.Rounding;

[TestClass]
public sealed class BranchRoundingTests
{
    private static readonly QuantizePlan _plan = QuantizeTests.Plan(ActivationMode.None);

    [TestMethod]
    public void Weights_in_branches_gain_on_other_data_than_they_were_rounded_on()
    {
        using var model = BranchModel.Branching().Model;
        var calibration = BranchModel.Data(0, Way);
        foreach (var way in new[] { (true, true), (false, true), (false, false) })
        {
            var other = BranchModel.Data(100, _ => way);
            double Sqnr(bool adaRound) => QuantizeTests.Sqnr(model, Quantize.Run(model, _plan with { AdaRound = adaRound }, QuantizeTests.Context(calibration)).Model, other);
            Assert.IsGreaterThan(Sqnr(false) + 3, Sqnr(true), $"{way}");
        }
    }

    [TestMethod]
    public void Threads_leave_every_bit_and_a_branch_that_is_never_taken_is_rounded_to_nearest()
    {
        using var model = BranchModel.Branching().Model;
        var nearest = Quantize.Run(model, _plan, QuantizeTests.Context()).Model;
        var data = BranchModel.Data(0, i => (true, i % 2 == 0));
        var rounded = Quantize.Run(model, _plan, QuantizeTests.Context(data)).Model;
        CollectionAssert.AreEqual(rounded.ToBytes(), Quantize.Run(model, _plan, QuantizeTests.Context(data) with { Threads = 4 }).Model.ToBytes());
        foreach (var graph in new[] { BranchModel.InnerThen, BranchModel.InnerElse })
        {
            Assert.HasCount(576, BranchModel.Codes(nearest, graph));
            CollectionAssert.AreEqual(BranchModel.Codes(nearest, graph), BranchModel.Codes(rounded, graph));
        }

        // The main graph has the weight that all branches share.
        Assert.HasCount(8 * 144, BranchModel.Codes(nearest, 0));
        foreach (var graph in new[] { 0, BranchModel.Then })
            CollectionAssert.AreNotEqual(BranchModel.Codes(nearest, graph), BranchModel.Codes(rounded, graph));
    }

    [TestMethod]
    public void A_weight_has_the_matrices_of_every_branch_that_reads_it_and_one_name_may_be_two_weights()
    {
        var small = BranchModel.Branching();
        var (data, weights) = Data(small);
        StatisticsCollector.Collect(small.Model, [], BranchModel.Data(0, Way), grams: data.Matrices);
        var shared = weights.Where(w => w.Node.Input[1] == "v").ToList();
        CollectionAssert.AreEqual(new[] { BranchModel.Then, BranchModel.InnerThen, BranchModel.InnerElse }, shared.Select(w => w.Graph).ToArray());
        foreach (var weight in shared)
        {
            Assert.AreEqual(0, weight.Home);
            CollectionAssert.AreEquivalent(new[] { BranchModel.Then, BranchModel.InnerThen, BranchModel.InnerElse }, data.Of(weight).Select(g => g.Graph).ToArray());
            Assert.AreEqual(weight.Graph, data.Of(weight, "r")!.Graph);
        }

        foreach (var weight in weights.Where(w => w.Node.Input[1] == "w"))
        {
            Assert.AreEqual(weight.Graph, weight.Home);
            Assert.AreEqual(weight.Graph, data.Of(weight).Single().Graph);
        }
    }

    [TestMethod]
    [DataRow(true)]
    [DataRow(false)]
    public void The_bias_takes_back_the_mean_error_whether_it_is_a_Constant_of_the_branch_or_of_the_main_graph(bool then)
    {
        var small = BranchModel.Branching();
        var (data, weights) = Data(small);
        Assert.IsTrue(weights.All(data.HasBias));
        // The second layer alone, for the error of the first is not linear behind it.
        var way = BranchModel.Data(0, _ => (then, true));
        var rules = new[] { "Conv_a" };
        double Shift(bool correct) => MeanShift(small.Model, _plan with { BiasCorrection = correct }, way, rules);
        Assert.IsGreaterThan(2e-4, Shift(false));
        Assert.IsLessThan(1e-5, Shift(true));
    }

    private static double MeanShift(OnnxModel model, QuantizePlan plan, ListDataset data, string[] left)
    {
        var context = QuantizeTests.Context(data);
        var choices = new FormSelection(model, plan, context).Choose().Select(c => left.Contains(c.Node.Name) ? c with { Form = null } : c).ToList();
        var rounding = new RoundingData(model.Graph, choices.Where(c => c.Form is not null).SelectMany(c => c.Weights));
        StatisticsCollector.Collect(model, [], data, grams: rounding.Matrices);
        var calibration = new Calibration(model, plan, context);
        var written = new QuantizationWriter(model, plan, context.Runtime.Formats, calibration, new WeightRounding(rounding, plan)).Write(choices).Model;
        using Session before = new(model.ToBytes()), after = new(written.ToBytes());
        var shift = new double[8];
        foreach (var batch in data.Batches())
        {
            var (expected, actual) = (before.Run(batch.Inputs)["y"].ToFloats(), after.Run(batch.Inputs)["y"].ToFloats());
            for (var i = 0; i < expected.Length; i++)
                shift[i / (expected.Length / 8)] += (actual[i] - expected[i]) / (double)(expected.Length / 8) / data.Count;
        }

        return shift.Max(Math.Abs);
    }

    private static (RoundingData Data, List<NodeWeight> Weights) Data(SmallModel small)
    {
        var weights = new FormSelection(small.Model, _plan, QuantizeTests.Context()).Choose().SelectMany(c => c.Weights).ToList();
        return (new RoundingData(small.Graph, weights), weights);
    }

    private static (bool C, bool D)? Way(int i) => (i % 2 == 0, i % 3 == 0);
}
