using CsCheck;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Passes.Quantization;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Passes.Quantization;

[TestClass]
public sealed class BiasCorrectionTests
{
    [TestMethod]
    public void The_bias_takes_back_the_weights_error_times_the_mean_input() =>
        Gen.Select(Gen.Int[1, 3], Gen.Int[1, 3], Gen.Int[1, 3], Gen.Int[1, 9], Gen.Int[0, 1000]).Sample((groups, outsPerGroup, insPerGroup, taps, seed) =>
        {
            var random = new Random(seed);
            var (outs, ins) = (groups * outsPerGroup, groups * insPerGroup);
            float[] weight = [.. Enumerable.Range(0, outs * insPerGroup * taps).Select(_ => random.NextSingle() - 0.5f)];
            double[] means = [.. Enumerable.Range(0, ins).Select(_ => random.NextDouble() * 4)];
            var layout = Layout("Conv", [outs, insPerGroup, taps], 0, groups);
            var quantized = AffineQuantizer.QuantizeWeight(weight, 1, outs, insPerGroup * taps, []);
            var corrected = BiasCorrection.Correct(new float[outs], weight, quantized, layout, means);
            for (var o = 0; o < outs; o++)
            {
                // An input that is its mean everywhere: the float and the 8-bit channel differ by exactly the correction.
                double exact = 0, rounded = 0;
                for (var i = 0; i < insPerGroup; i++)
                {
                    for (var t = 0; t < taps; t++)
                    {
                        var index = (o * insPerGroup + i) * taps + t;
                        var x = means[o / outsPerGroup * insPerGroup + i];
                        exact += weight[index] * x;
                        rounded += (double)quantized.Scales[o] * quantized.Values[index] * x;
                    }
                }

                Assert.AreEqual(exact - rounded, corrected[o], 1e-6);
            }
        }, iter: 100);

    [TestMethod]
    [DataRow(true)]
    [DataRow(false)]
    public void A_product_is_corrected_in_both_layouts(bool transposed)
    {
        float[] straight = [0.9f, -0.31f, 0.13f, 0.77f, -0.55f, 0.2f];
        float[] weight = transposed ? [0.9f, 0.13f, -0.55f, -0.31f, 0.77f, 0.2f] : straight;
        var layout = Layout("Gemm", transposed ? [2, 3] : [3, 2], transposed ? 0 : 1, 1);
        var quantized = transposed ? AffineQuantizer.QuantizeWeight(weight, 1, 2, 3, []) : AffineQuantizer.QuantizeWeight(weight, 3, 2, 1, []);
        double[] means = [3, 5, 7];
        var corrected = BiasCorrection.Correct([1, 2], weight, quantized, layout, means);
        for (var o = 0; o < 2; o++)
        {
            double shift = 0;
            for (var i = 0; i < 3; i++)
                shift += (straight[i * 2 + o] - (double)quantized.Scales[o] * Math.Round(straight[i * 2 + o] / quantized.Scales[o])) * means[i];
            Assert.AreEqual(1 + o + shift, corrected[o], 1e-6);
        }
    }

    [TestMethod]
    public void Means_that_do_not_fit_leave_the_bias_alone()
    {
        float[] bias = [1, 2];
        Assert.AreSame(bias, BiasCorrection.Correct(bias, [1, 2], new QuantizedWeight([1, 2], [1f]), Layout("Conv", [2, 1, 1], 0, 1), [1, 2, 3]));
    }

    [TestMethod]
    public void A_network_on_inputs_far_from_zero_gains_by_it()
    {
        var small = QuantizeTests.ConvChain("Relu");
        var random = new Random(2);
        var data = new ListDataset([.. Enumerable.Range(0, 8).Select(_ => ListDataset.Batch("x", [1, 4, 6, 6], [.. Enumerable.Range(0, 144).Select(_ => 5 + 0.2f * random.NextSingle())]))]);
        double Sqnr(bool corrected)
        {
            var result = Quantize.Run(small.Model, QuantizeTests.Plan() with { BiasCorrection = corrected, AdaRound = false }, QuantizeTests.Context(data));
            return QuantizeTests.Sqnr(small.Model, result.Model, data);
        }

        Assert.IsGreaterThan(Sqnr(false) + 0.5, Sqnr(true));
    }

    private static NodeWeight Layout(string op, long[] dims, int axis, long groups)
    {
        var node = GraphExtensions.Node(op, ["x", "w", "b"], ["y"]).Set("group", groups);
        var tensor = new TensorProto { Name = "w", DataType = (int)DataType.Float };
        tensor.Dims.AddRange(dims);
        return new NodeWeight(node, 1, tensor, axis);
    }
}
