using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Quantization;
using ModelBuildTasks.Engine.Passes.Quantization.Search;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Passes.Quantization.Search;

/// <summary>x [2,3] · w + b -> a -> Relu -> r · v -> y; a and −x are outputs too.</summary>
[TestClass]
public sealed class SimulationTests
{
    private static readonly float[] X = [0.3f, -1.7f, 2.2f, 0.05f, 1.4f, -0.6f];
    private static readonly float[] W = [0.5f, -0.25f, 1.3f, 0.77f, -0.9f, 0.01f];
    private static readonly float[] B = [0.4f, -0.3f];
    private static readonly float[] V = [1.1f, -0.35f, 0.6f, 3f];
    private static readonly AffineParameters Coarse = new(0.1f, 12);

    [TestMethod]
    public void No_place_changes_nothing() => Check([], Forward(X, W, B, v => v, V), X);

    [TestMethod]
    public void An_activation_made_inside_is_rounded_for_everybody_also_as_an_output() =>
        Check([new ActivationNoise("a", Coarse, [])], Forward(X, W, B, v => Round(v, Coarse), V), X);

    [TestMethod]
    public void A_value_from_outside_is_rounded_for_the_given_readers_only() =>
        Check([new ActivationNoise("x", Coarse, [new(0, 0)])], Forward([.. X.Select(v => Round(v, Coarse))], W, B, v => v, V), X);

    [TestMethod]
    public void A_computed_value_may_be_rounded_for_one_of_its_readers_only()
    {
        // The Relu reads a rounded; the output a is not.
        var exact = Forward(X, W, B, v => v, V);
        var rounded = Forward(X, W, B, v => Round(v, Coarse), V);
        Check([new ActivationNoise("a", Coarse, [new(0, 1)])], (exact.A, rounded.Y), X);
    }

    [TestMethod]
    public void A_signed_activation_is_rounded_in_its_own_type()
    {
        var signed = new AffineParameters(0.02f, -5) { Type = DataType.Int8 };
        float Signed(float v) => (Math.Clamp(MathF.Round(v / 0.02f) - 5, -128, 127) + 5) * 0.02f;
        Check([new ActivationNoise("a", signed, [])], Forward(X, W, B, Signed, V), X);
    }

    [TestMethod]
    public void A_dynamic_input_is_rounded_to_the_range_that_it_has_in_this_run()
    {
        // DynamicQuantizeLinear: the range with zero in 255 steps, the zero point the nearest code of zero.
        var r = Forward(X, W, B, v => v, V).A.Select(v => MathF.Max(v, 0)).ToArray();
        var scale = r.Max() / 255;
        var expected = Product([.. r.Select(v => MathF.Round(v / scale) * scale)], V, 2, 2, 2);
        Check([new DynamicNoise(new(0, 2))], (Forward(X, W, B, v => v, V).A, expected), X);
    }

    [TestMethod]
    public void A_weight_is_rounded_to_8_bits_a_channel()
    {
        // Gemm's W [3,2]: a column is an output channel.
        var rounded = new float[6];
        for (var c = 0; c < 2; c++)
        {
            var scale = Enumerable.Range(0, 3).Max(r => MathF.Abs(W[(r * 2) + c])) / 127;
            for (var r = 0; r < 3; r++)
                rounded[(r * 2) + c] = MathF.Round(W[(r * 2) + c] / scale) * scale;
        }

        Check([new WeightNoise(new(0, 0), 1, QuantizedForm.Weights)], Forward(X, rounded, B, v => v, V), X);
    }

    [TestMethod]
    public void A_weight_in_half_precision_has_the_nearest_float16() =>
        Check([new WeightNoise(new(0, 2), 1, QuantizedForm.Half)], Forward(X, W, B, v => v, [.. V.Select(v => (float)(Half)v)]), X);

    [TestMethod]
    public void Places_add_up()
    {
        float[] half = [.. V.Select(v => (float)(Half)v)];
        Check(
            [new WeightNoise(new(0, 2), 1, QuantizedForm.Half), new ActivationNoise("a", Coarse, []), new ActivationNoise("x", Coarse, [new(0, 0)])],
            Forward([.. X.Select(v => Round(v, Coarse))], W, B, v => Round(v, Coarse), half), X);
    }

    private static void Check(NoiseSource[] places, (float[] A, float[] Y) expected, float[] negated)
    {
        var small = new SmallModel().Input("x", 2, 3).Floats("w", [3, 2], W).Floats("b", [2], B).Floats("v", [2, 2], V)
            .Node("Gemm", "x,w,b", "a").Node("Relu", "a", "r").Node("MatMul", "r,v", "y").Node("Neg", "x", "n").Output("a", "y", "n");
        var index = new GraphIndex(small.Model, small.Graph);
        var map = new NodeMap(small.Model);
        var weights = small.Graph.Node.SelectMany(n => NodeWeight.Of(n, index)).ToDictionary(w => (map[w.Node], w.Input));
        var (plan, formats) = (QuantizeTests.Plan(), RuntimePolicies.Get("ort-cpu").Formats);
        var before = small.Model.ToBytes();
        var model = new Simulation(small.Model, weights, new WeightDecoder(small.Model, plan, formats, null).Decode, plan, formats).Build(places);
        CollectionAssert.AreEqual(before, small.Model.ToBytes());
        using var session = new Session(model, new SessionSettings { KeepPairs = true });
        var outputs = session.Run(new Dictionary<string, Tensor> { ["x"] = Tensor.Of<float>(DataType.Float, [2, 3], X) });
        Near(expected.A, outputs["a"].ToFloats());
        Near(expected.Y, outputs["y"].ToFloats());
        Near([.. negated.Select(v => -v)], outputs["n"].ToFloats());
    }

    private static (float[] A, float[] Y) Forward(float[] x, float[] w, float[] b, Func<float, float> round, float[] v)
    {
        float[] a = [.. Product(x, w, 2, 3, 2).Select((p, i) => round(p + b[i % 2]))];
        return (a, Product([.. a.Select(p => MathF.Max(p, 0))], v, 2, 2, 2));
    }

    private static float[] Product(float[] a, float[] b, int rows, int inner, int columns) =>
        [.. Enumerable.Range(0, rows * columns).Select(i => (float)Enumerable.Range(0, inner).Sum(k => (double)a[(i / columns * inner) + k] * b[(k * columns) + (i % columns)]))];

    private static float Round(float value, AffineParameters p) => (Math.Clamp(MathF.Round(value / p.Scale) + p.ZeroPoint, 0, 255) - p.ZeroPoint) * p.Scale;

    private static void Near(float[] expected, float[] actual)
    {
        Assert.HasCount(expected.Length, actual);
        for (var i = 0; i < expected.Length; i++)
            Assert.AreEqual(expected[i], actual[i], 2e-6f);
    }
}
