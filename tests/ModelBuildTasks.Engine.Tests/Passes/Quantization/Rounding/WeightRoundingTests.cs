using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Passes.Quantization;
using ModelBuildTasks.Engine.Passes.Quantization.Rounding;
using ModelBuildTasks.Engine.Statistics;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Passes.Quantization.Rounding;

[TestClass]
public sealed class WeightRoundingTests
{
    [TestMethod]
    public void A_network_gains_on_other_data_than_it_was_rounded_on()
    {
        using var model = QuantizeTests.Clean("digits_mobile/digits_mobile.onnx");
        var (calibration, other) = (Noise(model, 0), Noise(model, 100));
        double Sqnr(bool adaRound) => QuantizeTests.Sqnr(
            model, Quantize.Run(model, QuantizeTests.Plan(ActivationMode.None) with { AdaRound = adaRound }, QuantizeTests.Context(calibration)).Model, other);
        Assert.IsGreaterThan(Sqnr(false) + 3, Sqnr(true));
    }

    [TestMethod]
    public void Off_or_without_data_weights_are_rounded_to_nearest_and_biases_stay()
    {
        var small = QuantizeTests.ConvChain("Relu");
        var data = ListDataset.Random(small.Model, 4);
        var nearest = Quantize.Run(small.Model, QuantizeTests.Plan(ActivationMode.None), QuantizeTests.Context()).Model.ToBytes();
        CollectionAssert.AreEqual(nearest, Quantize.Run(small.Model, QuantizeTests.Plan(ActivationMode.None) with { AdaRound = false }, QuantizeTests.Context(data)).Model.ToBytes());
        CollectionAssert.AreNotEqual(nearest, Quantize.Run(small.Model, QuantizeTests.Plan(ActivationMode.None), QuantizeTests.Context(data)).Model.ToBytes());
    }

    [TestMethod]
    public void The_same_weight_is_rounded_once_and_the_threads_leave_no_trace()
    {
        var (data, weight, values) = Example();
        var rounding = new WeightRounding(data, QuantizeTests.Plan());
        var nearest = AffineQuantizer.QuantizeWeight(values, 1, 8, 27, []);
        var first = rounding.Round(weight, values, nearest);
        Assert.AreSame(first, rounding.Round(weight, values, nearest));
        CollectionAssert.AreNotEqual(nearest.Values, first.Values);
        CollectionAssert.AreEqual(first.Values, new WeightRounding(data, QuantizeTests.Plan(), threads: 4).Round(weight, values, nearest).Values);
    }

    [TestMethod]
    public void The_corrected_bias_takes_back_the_mean_error_with_the_padding_counted()
    {
        var (data, weight, values) = Example();
        var rounding = new WeightRounding(data, QuantizeTests.Plan());
        var nearest = AffineQuantizer.QuantizeWeight(values, 1, 8, 27, []);
        var bias = rounding.CorrectBias(weight, "x", new float[8], values, nearest);
        var means = data.Matrices.Single().Means(0);
        for (var o = 0; o < 8; o++)
        {
            var shift = Enumerable.Range(0, 27).Sum(c => (values[o * 27 + c] - (double)nearest.Scales[o] * nearest.Values[o * 27 + c]) * means[c]);
            Assert.AreEqual(shift, bias[o], 1e-7);
        }

        Assert.IsGreaterThan(means[0] * 1.1, means[4], "a corner of the kernel meets padding more often than its centre");
    }

    [TestMethod]
    public void A_depthwise_transposed_convolution_has_a_scale_for_each_channel()
    {
        var small = new SmallModel().Input("x", 1, 32, 6, 6);
        small.Floats("w", [32, 1, 3, 3], [.. SmallModel.Values(1, 288).Select((v, i) => v * MathF.Pow(2, i / 9 % 12))])
            .Node("ConvTranspose", "x,w", "y", ("group", 32)).Output("y");
        var weight = NodeWeight.Of(small.Graph.Node[0], new GraphIndex(small.Model, small.Graph)).Single();
        Assert.AreEqual((0, 32L), (weight.ChannelAxis, weight.Channels));
        var result = Quantize.Run(small.Model, QuantizeTests.Plan(ActivationMode.None), QuantizeTests.Context());
        Assert.AreEqual(32, result.Model.Graph.Initializer.Single(i => (DataType)i.DataType == DataType.Float).Dims[0]);
    }

    [TestMethod]
    public void Only_a_constant_bias_of_the_right_length_takes_back_means()
    {
        var small = new SmallModel().Input("x", 4, 24).Input("c", 8).Random("w", 1, 24, 8).Random("v", 2, 24, 8).Random("u", 3, 24, 8).Random("b", 4, 8).Random("s", 5, 1)
            .Node("Gemm", "x,w,b", "y").Node("Gemm", "x,v,c", "z").Node("Gemm", "x,u,s", "t")
            .Random("o", 6, 24, 8).Node("Gemm", "x,o,b", "r", ("alpha", 2.0)).Output("y", "z", "t", "r");
        var index = new GraphIndex(small.Model, small.Graph);
        NodeWeight[] weights = [.. small.Graph.Node.Select(n => NodeWeight.Of(n, index).Single())];
        var data = new RoundingData(small.Graph, weights);
        CollectionAssert.AreEqual(new[] { true, false, false, false }, weights.Select(data.HasBias).ToArray());
        Assert.HasCount(1, data.Matrices);
    }

    private static (RoundingData Data, NodeWeight Weight, float[] Values) Example()
    {
        var small = new SmallModel().Input("x", 1, 3, 9, 9).Random("w", 1, 8, 3, 3, 3).Random("b", 2, 8)
            .Node("Conv", "x,w,b", "y", ("pads", new long[] { 1, 1, 1, 1 })).Output("y");
        var weight = NodeWeight.Of(small.Graph.Node[0], new GraphIndex(small.Model, small.Graph)).Single();
        var data = new RoundingData(small.Graph, [weight]);
        var batches = Enumerable.Range(0, 6).Select(i => ListDataset.Batch("x", [1, 3, 9, 9], [.. SmallModel.Values(i, 243).Select(v => v + 1)]));
        StatisticsCollector.Collect(small.Model, [], new ListDataset([.. batches]), grams: data.Matrices);
        return (data, weight, small.Model.ReadFloats(weight.Tensor));
    }

    // Smooth images, so that neighbours are alike as in photos.
    private static ListDataset Noise(OnnxModel model, int seed)
    {
        var input = model.Graph.Input[0];
        long[] shape = [1, .. input.Type.TensorType.Shape.Dim.Skip(1).Select(d => d.DimValue)];
        var width = (int)shape[^1];
        return new ListDataset([.. Enumerable.Range(seed, 24).Select(s =>
        {
            var random = new Random(s);
            var (a, b, c) = (random.NextDouble(), random.NextDouble(), random.NextDouble() * 6);
            return ListDataset.Batch(input.Name, shape, [.. Enumerable.Range(0, (int)ElementTypes.Count(shape))
                .Select(i => (float)Math.Max(0, Math.Sin(a * (i % width) + b * (i / width) + c)))]);
        })]);
    }
}
