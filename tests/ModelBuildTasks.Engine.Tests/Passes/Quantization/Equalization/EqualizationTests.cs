using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Passes.Quantization.Equalization;
using ModelBuildTasks.Engine.Tests.Data;

namespace ModelBuildTasks.Engine.Tests.Passes.Quantization.Equalization;

[TestClass]
public sealed class EqualizationTests
{
    private static readonly QuantizePlan Plan = new(default);

    // Without the search and the rounding by data, which make up for what a repair repairs.
    private static readonly QuantizePlan Static = new(default) { Activations = ActivationMode.Uint8, AdaRound = false };

    [TestMethod]
    public void A_pair_gets_the_root_of_the_ratio_of_its_ranges()
    {
        // r1 = (8, 2), r2 = (0.5, 2): s = (4, 1).
        var small = new SmallModel().Input("x", 1, 2)
            .Floats("w1", [2, 2], 8, 1, -3, 2).Floats("b1", [2], 12, 5).Floats("w2", [2, 2], 0.5f, -0.25f, 1, 2)
            .Node("Gemm", "x,w1,b1", "a").Node("Relu", "a", "r").Node("Gemm", "r,w2", "y").Output("y");
        var result = CrossLayerEqualization.Apply(Bare(small.Model));
        CollectionAssert.AreEqual(new float[] { 2, 1, -0.75f, 2 }, Values(result, "w1"));
        CollectionAssert.AreEqual(new float[] { 3, 5 }, Values(result, "b1"));
        CollectionAssert.AreEqual(new float[] { 2, -1, 1, 2 }, Values(result, "w2"));
        CollectionAssert.AreEqual(new float[] { 8, 1, -3, 2 }, small.Model.ReadFloats(small.Graph.Initializer[0]));
    }

    [TestMethod]
    public void A_depthwise_layer_between_two_others_gets_the_closed_form_of_triples()
    {
        var small = Depthwise("Relu", spread: 6);
        double[] r1 = OutputRanges(Values(small.Model, "w1"), 4), r2 = OutputRanges(Values(small.Model, "w2"), 4), r3 = InputRanges(Values(small.Model, "w3"), 4, 1);
        var result = CrossLayerEqualization.Apply(Bare(small.Model));
        double[] a1 = OutputRanges(Values(result, "w1"), 4), a2 = OutputRanges(Values(result, "w2"), 4), a3 = InputRanges(Values(result, "w3"), 4, 1);
        for (var c = 0; c < 4; c++)
        {
            var mean = Math.Cbrt(r1[c] * r2[c] * r3[c]);
            Assert.AreEqual(mean, a1[c], 1e-3 * mean);
            Assert.AreEqual(mean, a2[c], 1e-3 * mean);
            Assert.AreEqual(mean, a3[c], 1e-3 * mean);
        }

        Assert.IsLessThan(1e-5, Outputs.Difference(small.Model, result.State.Model));
    }

    [TestMethod]
    [DataRow("Relu", true)]
    [DataRow("LeakyRelu", true)]
    [DataRow("Identity", true)]
    [DataRow("Sigmoid", false)]
    [DataRow("Clip", false)]
    public void Only_what_is_positively_homogeneous_may_stand_between(string between, bool equalized)
    {
        var small = Depthwise(between, spread: 3);
        var result = CrossLayerEqualization.Apply(Bare(small.Model));
        Assert.AreEqual(equalized, result.Changed);
        Assert.IsLessThan(1e-5, Outputs.Difference(small.Model, result.State.Model));
    }

    [TestMethod]
    public void Factors_stay_within_a_hundredth_and_a_hundred_of_the_usual_one()
    {
        var small = new SmallModel().Input("x", 1, 1).Floats("w1", [1, 2], 1e6f, 1).Floats("w2", [2, 1], 1e-6f, 1)
            .Node("MatMul", "x,w1", "a").Node("MatMul", "a,w2", "y").Output("y");
        // s = (1e6, 1), of which the usual is 1e3.
        var scaled = Values(CrossLayerEqualization.Apply(Bare(small.Model)), "w1");
        Assert.AreEqual(10, scaled[0], 1e-4);
        Assert.AreEqual(0.1, scaled[1], 1e-6);
    }

    [TestMethod]
    public void A_weight_in_a_Constant_node_is_equalized_and_a_shared_one_is_left()
    {
        var small = new SmallModel().Input("x", 3, 2).Floats("shared", [2, 2], 1, 2, 30, 4).Floats("w3", [2, 2], 9, 1, 2, 1);
        small.Node("Constant", "", "w1", ("value", small.Model.CreateTensor("", [2, 2], 8, 1, -3, 2)))
            .Node("MatMul", "x,w1", "a").Node("Relu", "a", "r").Node("MatMul", "r,w3", "b")
            .Node("MatMul", "b,shared", "c").Node("Relu", "c", "d").Node("MatMul", "d,shared", "y").Output("y");
        var result = CrossLayerEqualization.Apply(Bare(small.Model));
        Assert.AreEqual("MatMul_a", result.Decisions.Single().Name);
        CollectionAssert.AreEqual(new float[] { 1, 2, 30, 4 }, Values(result, "shared"));
        Assert.IsLessThan(1e-5, Outputs.Difference(small.Model, result.State.Model));
    }

    [TestMethod]
    public void Values_that_others_see_are_left()
    {
        foreach (var leak in new[] { "a", "r" })
        {
            var small = new SmallModel().Input("x", 1, 2).Random("w1", 1, 2, 2).Random("w2", 2, 2, 2)
                .Node("MatMul", "x,w1", "a").Node("Relu", "a", "r").Node("MatMul", "r,w2", "y").Output("y", leak);
            Assert.IsFalse(CrossLayerEqualization.Apply(Bare(small.Model)).Changed);
        }
    }

    [TestMethod]
    [DataRow("MatMul", "Add")]
    [DataRow("ConvTranspose", "MaxPool")]
    [DataRow("Conv", "Flatten")]
    [DataRow("Conv", "PRelu")]
    [DataRow("Conv", "Branch")]
    [DataRow("Conv", "Grouped")]
    [DataRow("Conv", "Transpose")]
    public void The_float_function_stays(string first, string between)
    {
        var small = new SmallModel();
        if (first == "MatMul")
            small.Input("x", 2, 3, 4).Random("w1", 1, 4, 6).Random("b", 3, 6).Node("MatMul", "x,w1", "m").Node("Add", "m,b", "a");
        else if (first == "ConvTranspose")
            small.Input("x", 1, 4, 5, 5).Random("w1", 1, 4, 3, 2, 2).Random("b", 3, 6).Node("ConvTranspose", "x,w1,b", "a", ("group", 2));
        else
            small.Input("x", 1, 4, 5, 5).Random("w1", 1, 6, 4, 3, 3).Random("b", 3, 6).Node("Conv", "x,w1,b", "a");
        switch (between)
        {
            case "Add":
                small.Random("w2", 2, 6, 5).Node("Relu", "a", "r").Node("MatMul", "r,w2", "y").Output("y");
                break;
            case "MaxPool":
                small.Random("w2", 2, 5, 6, 1, 1).Node("MaxPool", "a", "r", ("kernel_shape", new long[] { 2, 2 })).Node("Conv", "r,w2", "y").Output("y");
                break;
            case "Flatten":
                small.Random("w2", 2, 54, 5).Node("Flatten", "a", "r").Node("Gemm", "r,w2", "y").Output("y");
                break;
            case "PRelu":
                small.Random("w2", 2, 5, 6, 1, 1).Random("p", 4, 6, 1, 1).Node("PRelu", "a,p", "r").Node("Conv", "r,w2", "y").Output("y");
                break;
            case "Branch":
                small.Random("w2", 2, 5, 6, 1, 1).Random("w3", 5, 6, 1, 3, 3).Node("Relu", "a", "r").Node("Conv", "r,w2", "y").Node("Conv", "a,w3", "z", ("group", 6)).Output("y", "z");
                break;
            case "Grouped":
                small.Random("w2", 2, 4, 3, 1, 1).Node("Conv", "a,w2", "y", ("group", 2)).Output("y");
                break;
            default:
                small.Random("w2", 2, 6, 5).Node("Transpose", "a", "r", ("perm", new long[] { 0, 2, 3, 1 })).Node("MatMul", "r,w2", "y").Output("y");
                break;
        }

        var result = CrossLayerEqualization.Apply(Bare(small.Model));
        Assert.IsTrue(result.Changed);
        Assert.IsLessThan(1e-5, Outputs.Difference(small.Model, result.State.Model));
    }

    [TestMethod]
    public void A_high_bias_moves_into_the_next_layer()
    {
        // Channel 0 is 100 + x with x in ±1, channel 1 is x: β − 3γ of the first is close to 98.3 for uniform x, and its least value 99.
        var small = new SmallModel().Input("x", 1, 1, 4, 4)
            .Floats("w1", [2, 1, 1, 1], 1, 1).Floats("b1", [2], 100, 0).Floats("w2", [1, 2, 2, 2], 1, 1, 1, 1, 2, 2, 2, 2)
            .Node("Conv", "x,w1,b1", "a").Node("Relu", "a", "r").Node("Conv", "r,w2", "y").Output("y");
        var data = ListDataset.Random(small.Model, 50);
        var state = Observe(small.Model, data);
        var seen = state.Channels["a"];
        var c = Math.Min(seen.Min[0], seen.Mean[0] - 3 * seen.Deviation(0));
        Assert.AreEqual(98.27, c, 0.1);
        var result = HighBiasAbsorption.Apply(state);
        var bias = Values(result, "b1");
        Assert.AreEqual(100 - c, bias[0], 1e-4);
        Assert.AreEqual(0, bias[1]);
        Assert.AreEqual(4 * c, Values(result, result.State.Model.Graph.Node[2].Input[2])[0], 1e-3);
        Assert.AreEqual(seen.Max[0] - c, result.State.Channels["a"].Max[0], 1e-3);
        Assert.IsLessThan(1e-5, Outputs.Difference(small.Model, result.State.Model));
    }

    [TestMethod]
    public void A_network_with_high_biases_gains_by_absorption()
    {
        var small = new SmallModel().Input("x", 1, 8, 6, 6)
            .Random("w1", 1, 16, 8, 3, 3).Floats("b1", [16], [.. Enumerable.Range(0, 16).Select(i => i % 4 == 0 ? 300f : 0)]).Random("w2", 2, 16, 16, 1, 1)
            .Node("Conv", "x,w1,b1", "a").Node("Relu", "a", "r").Node("Conv", "r,w2", "y").Output("y");
        var data = ListDataset.Random(small.Model, 10);
        var result = HighBiasAbsorption.Apply(Observe(small.Model, data));
        Assert.IsLessThan(1e-5, Outputs.Difference(small.Model, result.State.Model));
        Assert.IsGreaterThan(Sqnr(small.Model, small.Model, data) + 2, Sqnr(small.Model, result.State.Model, data));
    }

    [TestMethod]
    public void A_high_bias_before_padding_stays()
    {
        var small = new SmallModel().Input("x", 1, 1, 4, 4)
            .Floats("w1", [1, 1, 1, 1], 1).Floats("b1", [1], 100).Floats("w2", [1, 1, 3, 3], [.. Enumerable.Repeat(1f, 9)])
            .Node("Conv", "x,w1,b1", "a").Node("Relu", "a", "r").Node("Conv", "r,w2", "y", ("pads", new long[] { 1, 1, 1, 1 })).Output("y");
        Assert.IsFalse(HighBiasAbsorption.Apply(Observe(small.Model, ListDataset.Random(small.Model, 5))).Changed);
    }

    [TestMethod]
    public void Weights_with_one_scale_for_the_tensor_gain_on_a_real_depthwise_network()
    {
        using var model = QuantizeTests.Clean("yunet/yunet_s_dynamic.onnx");
        var (calibration, test) = (Photos("calibration", 6), Photos("test", 6));
        var equalized = CrossLayerEqualization.Apply(Bare(model)).State.Model;
        Assert.IsGreaterThan(90, QuantizeTests.Sqnr(model, equalized, test));
        double Quantized(OnnxModel m) => QuantizeTests.Sqnr(model, Quantize.Run(m, Static with { PerChannel = false }, QuantizeTests.Context(calibration)).Model, test);
        var (before, after) = (Quantized(model), Quantized(equalized));
        Assert.IsGreaterThan(before + 0.4, after);
    }

    [TestMethod]
    public void Repairs_follow_one_another_and_keep_the_function()
    {
        foreach (var file in new[] { "llama-aidreams/aidreams260k.onnx", "yunet/yunet_s_dynamic.onnx", "mnist/mnist.onnx" })
        {
            using var model = QuantizeTests.Clean(file);
            var state = Observe(model, ListDataset.Random(model, 2));
            var repairs = Repairs.Enumerate(state, Plan);
            Assert.IsNotEmpty(repairs);
            var changed = 0;
            foreach (var repair in repairs)
            {
                var result = repair.Apply(state);
                CollectionAssert.IsSubsetOf(result.Decisions.Select(d => d.Name).ToList(), repair.Nodes.ToList());
                changed += result.Changed ? 1 : 0;
                state = result.State;
            }

            Assert.IsGreaterThan(0, changed);
            Assert.IsGreaterThan(80, QuantizeTests.Sqnr(model, state.Model, ListDataset.Random(model, 2)), file);
            // The summaries follow without a run.
            var again = Observe(state.Model, ListDataset.Random(model, 2));
            foreach (var (name, seen) in state.Channels)
            {
                var scale = again.Channels[name].Max.Max(Math.Abs) + 1e-6;
                for (var c = 0; c < seen.Channels; c++)
                    Assert.AreEqual(again.Channels[name].Max[c], seen.Max[c], 1e-3 * scale, $"{file} {name}");
            }
        }
    }

    private static RepairState Bare(OnnxModel model) => new(model, new Dictionary<string, ChannelSummary>());

    private static double Sqnr(OnnxModel reference, OnnxModel model, IDataset data) =>
        QuantizeTests.Sqnr(reference, Quantize.Run(model, Static, QuantizeTests.Context(data)).Model, data);

    internal static RepairState Observe(OnnxModel model, IDataset data) => Repairs.Begin(model, Plan, QuantizeTests.Context(data));

    internal static float[] Values(RepairResult result, string name) => Values(result.State.Model, name);

    internal static float[] Values(OnnxModel model, string name) => model.ReadFloats(new GraphIndex(model, model.Graph).Constant(name)!);

    internal static ListDataset Photos(string folder, int count)
    {
        var image = new ImageOptions { ResizeExact = (160, 160), Channels = Channels.Bgr, ChannelsGiven = true };
        var plan = Make.Plan(new ImagesSource(Make.Here, Path.Combine(TestData.Root, "samples/PhotoClassifier/photos", folder), "*.jpg", image)) with { Take = count };
        var inputs = new[] { new ValueDescription("input", TensorProto.Types.DataType.Float, [1, 3, 160, 160]) };
        var named = plan with { Inputs = new Dictionary<string, SourcePlan> { ["input"] = plan.Inputs.Values.Single() } };
        return new([.. DatasetFactory.Open(new(named, Make.Here), inputs).Batches()]);
    }

    /// <summary>1x1 convolution, depthwise 3x3, 1x1, whose channels differ in size by up to 2^spread.</summary>
    private static SmallModel Depthwise(string between, int spread)
    {
        float[] Spread(int seed, long count, long perChannel) => [.. SmallModel.Values(seed, count).Select((v, i) => v * MathF.Pow(2, i / perChannel % 4 * spread / 3f))];
        return new SmallModel().Input("x", 1, 3, 5, 5)
            .Floats("w1", [4, 3, 1, 1], Spread(1, 12, 3)).Random("b1", 2, 4)
            .Floats("w2", [4, 1, 3, 3], Spread(3, 36, 9)).Random("w3", 4, 5, 4, 1, 1)
            .Node("Conv", "x,w1,b1", "a").Node(between, "a", "r")
            .Node("Conv", "r,w2", "c", ("group", 4)).Node(between, "c", "d").Node("Conv", "d,w3", "y").Output("y");
    }

    private static double[] OutputRanges(float[] weight, int outputs) => [.. weight.Chunk(weight.Length / outputs).Select(r => (double)r.Max(Math.Abs))];

    private static double[] InputRanges(float[] weight, int inputs, int taps) =>
        [.. Enumerable.Range(0, inputs).Select(i => (double)weight.Where((_, n) => n / taps % inputs == i).Max(Math.Abs))];
}
