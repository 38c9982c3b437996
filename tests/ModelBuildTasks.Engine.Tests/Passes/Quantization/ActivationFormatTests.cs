using CsCheck;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Passes.Quantization;
using ModelBuildTasks.Engine.Statistics;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Passes.Quantization;

[TestClass]
public sealed class ActivationFormatTests
{
    [TestMethod]
    [DataRow(DataType.Uint8, false)]
    [DataRow(DataType.Int8, false)]
    [DataRow(DataType.Int8, true)]
    [DataRow(DataType.Uint16, false)]
    [DataRow(DataType.Int16, true)]
    public void In_every_format_zero_is_exact_and_values_in_range_are_off_by_at_most_one_step(DataType type, bool symmetric) =>
        Gen.Select(Gen.Float[-50, 0], Gen.Float[0.1f, 50], Gen.Float[0, 1].Array[1, 50]).Sample((min, max, shares) =>
        {
            var format = new ActivationFormat(type, symmetric);
            var parameters = AffineQuantizer.Parameters(new ValueRange(min, max), format);
            Assert.AreEqual(type, parameters.Type);
            if (symmetric)
                Assert.AreEqual(0, parameters.ZeroPoint);
            float[] values = [0, .. shares.Select(s => min + s * (max - min))];
            var codes = AffineQuantizer.Codes(values, parameters);
            Assert.AreEqual(parameters.ZeroPoint, codes[0]);
            for (var i = 0; i < values.Length; i++)
            {
                Assert.IsTrue(codes[i] >= format.Least && codes[i] <= format.Greatest);
                Assert.AreEqual(values[i], parameters.Scale * (codes[i] - parameters.ZeroPoint), parameters.Scale * 1.01 + 1e-5);
            }
        });

    [TestMethod]
    [DataRow(DataType.Int8, 0.0, 1 / 256f, -128)]
    [DataRow(DataType.Int8, -1.0, 1 / 128f, 0)]
    [DataRow(DataType.Uint16, 0.0, 1 / 65536f, 0)]
    [DataRow(DataType.Uint16, -1.0, 1 / 32768f, 32768)]
    public void A_range_that_is_fixed_has_a_scale_that_is_a_power_of_two(DataType type, double min, float scale, int zeroPoint)
    {
        var parameters = AffineQuantizer.FixedParameters(new ValueRange(min, 1), new ActivationFormat(type, Symmetric: false));
        Assert.AreEqual((scale, zeroPoint), (parameters.Scale, parameters.ZeroPoint));
    }

    [TestMethod]
    public void A_symmetric_range_has_the_least_squared_error_of_all_symmetric_ranges()
    {
        // Most values are small, two are far out: the least error cuts them.
        var statistics = new TensorStatistics();
        float[] values = [.. Enumerable.Range(0, 20000).Select(i => MathF.Sin(i) * (i % 7) / 7), 3, -2.5f];
        statistics.Add(values, 1);
        var format = new ActivationFormat(DataType.Int8, Symmetric: true);
        var found = ActivationRanges.Find(statistics, format, Calibrator.Mse, 0);
        Assert.AreEqual(-found.Min, found.Max);
        Assert.IsLessThan(3, found.Max);
        var least = Enumerable.Range(1, 300).Min(i => Error(i / 100.0));
        Assert.IsLessThan(1.02 * least, Error(found.Max));
        Assert.AreEqual(3, ActivationRanges.Find(statistics, format, Calibrator.MinMax, 0).Max);

        double Error(double end)
        {
            var parameters = AffineQuantizer.Parameters(new ValueRange(-end, end), format);
            return values.Zip(AffineQuantizer.Codes(values, parameters), (v, q) => Math.Pow(v - parameters.Scale * q, 2)).Sum();
        }
    }

    [TestMethod]
    public void Sixteen_bit_codes_are_those_of_the_operator_of_onnx_runtime()
    {
        var parameters = AffineQuantizer.Parameters(new ValueRange(-3, 5), new ActivationFormat(DataType.Uint16, Symmetric: false));
        var values = SmallModel.Values(7, 64);
        var small = new SmallModel().Input("x", 64).Floats("s", [], parameters.Scale).Node("QuantizeLinear", "x,s,z", "q").Output("q");
        small.Graph.Node[0].Domain = "com.microsoft";
        small.Model.Proto.OpsetImport.Add(new Engine.Onnx.OperatorSetIdProto { Domain = "com.microsoft", Version = 1 });
        small.Graph.Initializer.Add(small.Model.CreateTensor<ushort>("z", DataType.Uint16, [], [(ushort)parameters.ZeroPoint]));
        using var session = new Session(small.Model.ToBytes());
        var run = session.Run(new Dictionary<string, Tensor> { ["x"] = Tensor.Of<float>(DataType.Float, [64], values) })["q"];
        var codes = AffineQuantizer.Codes(values, parameters);
        for (var i = 0; i < codes.Length; i++)
            Assert.IsLessThanOrEqualTo(1, Math.Abs(codes[i] - BitConverter.ToUInt16(run.Bytes.ToArray(), 2 * i)));
    }
}
