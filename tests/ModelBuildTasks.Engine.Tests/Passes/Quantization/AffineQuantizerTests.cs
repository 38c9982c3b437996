using CsCheck;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Passes.Quantization;
using ModelBuildTasks.Engine.Statistics;
using ModelBuildTasks.Engine.Tests.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Passes.Quantization;

[TestClass]
public sealed class AffineQuantizerTests
{
    [TestMethod]
    public void Zero_is_exact_and_every_value_in_range_is_off_by_at_most_one_step() =>
        Gen.Select(Gen.Float[-50, 0], Gen.Float[0, 50], Gen.Float[0, 1].Array[1, 50]).Sample((min, max, shares) =>
        {
            if (max - min < 1e-3)
                return;
            var parameters = AffineQuantizer.Unsigned8(new ValueRange(min, max));
            float[] values = [0, .. shares.Select(s => min + s * (max - min))];
            var codes = AffineQuantizer.Quantize(values, parameters);
            Assert.AreEqual(parameters.ZeroPoint, codes[0]);
            for (var i = 0; i < values.Length; i++)
            {
                // Half a step for rounding, half a step where the rounded zero point shifts the ends.
                Assert.AreEqual(values[i], parameters.Scale * (codes[i] - parameters.ZeroPoint), parameters.Scale * 1.01);
            }
        });

    [TestMethod]
    public void Codes_are_those_of_the_QuantizeLinear_operator() =>
        Gen.Select(Gen.Float[-4, 4].Array[64], Gen.Float[0.001f, 0.05f], Gen.Int[0, 255]).Sample((values, scale, zeroPoint) =>
        {
            var small = new SmallModel().Input("x", 64).Floats("s", [], scale).Node("QuantizeLinear", "x,s,z", "q").Output("q");
            small.Graph.Initializer.Add(small.Model.CreateTensor<byte>("z", DataType.Uint8, [], [(byte)zeroPoint]));
            using var session = new Session(small.Model.ToBytes());
            var run = session.Run(new Dictionary<string, Tensor> { ["x"] = Tensor.Of<float>(DataType.Float, [64], values) })["q"];
            var codes = AffineQuantizer.Quantize(values, new AffineParameters(scale, zeroPoint));
            // A value on the edge between two codes may round either way: the operator multiplies on some machines.
            for (var i = 0; i < codes.Length; i++)
                Assert.IsLessThanOrEqualTo(Edge(values[i] / scale) ? 1 : 0, Math.Abs(codes[i] - run.Bytes[i]));
        }, iter: 50);

    [TestMethod]
    public void Each_channel_of_a_weight_has_the_scale_of_its_own_largest_magnitude()
    {
        // Layout [2, 3, 2] with channels on axis 1.
        float[] weight = [1, -2, 0.1f, 0.2f, 0, 0, 4, 0, -0.3f, 0, 0, 0];
        var quantized = AffineQuantizer.QuantizeWeight(weight, outer: 2, channels: 3, inner: 2, []);
        CollectionAssert.AreEqual(new[] { 4f / 127, 0.3f / 127, 1f }, quantized.Scales);
        CollectionAssert.AreEqual(new sbyte[] { 32, -64, 42, 85, 0, 0, 127, 0, -127, 0, 0, 0 }, quantized.Values);
    }

    [TestMethod]
    public void A_bias_that_int32_cannot_hold_widens_the_scale_of_its_channel_only()
    {
        float[] bias = [1f, 1000f];
        float[] weight = [0.5f, 1e-12f];
        const float inputScale = 1e-3f;
        var quantized = AffineQuantizer.QuantizeWeight(weight, 1, 2, 1, AffineQuantizer.LeastScaleForBias(bias, inputScale));
        Assert.AreEqual(0.5f / 127, quantized.Scales[0]);
        var codes = AffineQuantizer.QuantizeBias(bias, inputScale, quantized.Scales);
        for (var c = 0; c < 2; c++)
        {
            Assert.IsLessThanOrEqualTo((1 << 30) + 64, Math.Abs(codes[c]));
            Assert.AreEqual(bias[c], (double)codes[c] * inputScale * quantized.Scales[c], bias[c] * 1e-5);
        }
    }

    [TestMethod]
    public void Zeros_stay_zeros() => Gen.Float[-3, 3].Array[1, 100].Sample(values =>
    {
        for (var i = 0; i < values.Length; i += 2)
            values[i] = 0;
        var quantized = AffineQuantizer.QuantizeWeight(values, 1, 1, values.Length, []);
        for (var i = 0; i < values.Length; i += 2)
            Assert.AreEqual(0, quantized.Values[i]);
    });

    private static bool Edge(float level) => Math.Abs(Math.Abs(level - Math.Floor(level)) - 0.5) < 1e-3;
}
