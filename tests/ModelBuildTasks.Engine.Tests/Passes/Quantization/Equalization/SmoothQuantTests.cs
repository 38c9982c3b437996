using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Passes.Quantization.Equalization;

namespace ModelBuildTasks.Engine.Tests.Passes.Quantization.Equalization;

[TestClass]
public sealed class SmoothQuantTests
{
    [TestMethod]
    [DataRow(0.5)]
    [DataRow(0.95)]
    public void Scales_follow_the_paper(double alpha)
    {
        double[] x = [100, 1, 4, 0], w = [0.5, 2, 0, 3];
        var s = SmoothQuant.Scales(x, w, alpha);
        Assert.AreEqual(Math.Pow(100, alpha) / Math.Pow(0.5, 1 - alpha), s[0], 1e-9);
        Assert.AreEqual(Math.Pow(1, alpha) / Math.Pow(2, 1 - alpha), s[1], 1e-9);
        // Channels that never carry anything do not stretch anyone's range.
        Assert.AreEqual(Math.Sqrt(s[0] * s[1]), s[2], 1e-9);
        Assert.AreEqual(s[2], s[3], 1e-9);
    }

    [TestMethod]
    [DataRow(false)]
    [DataRow(true)]
    public void Outliers_of_a_channel_move_into_the_weights_of_all_readers(bool decomposed)
    {
        var small = Normalized(decomposed);
        var data = ListDataset.Random(small.Model, 20);
        var state = EqualizationTests.Observe(small.Model, data);
        var repair = Repairs.Enumerate(state, new(default) { Equalization = false }).Single();
        var result = repair.Apply(state);
        CollectionAssert.AreEquivalent(new[] { decomposed ? "Mul_h" : "LayerNormalization_h", "MatMul_q", "MatMul_k" }, repair.Nodes.ToList());
        // One alpha for both: what the scale lost, the weights of both readers gained.
        var before = EqualizationTests.Values(small.Model, "scale");
        var after = EqualizationTests.Values(result, "scale");
        foreach (var name in new[] { "wq", "wk" })
        {
            var (w, v) = (EqualizationTests.Values(small.Model, name), EqualizationTests.Values(result, name));
            for (var i = 0; i < w.Length; i++)
                Assert.AreEqual(w[i] * before[i / 6] / after[i / 6], v[i], 1e-4 * Math.Abs(v[i]));
        }

        Assert.AreEqual(small.Graph.Node.Count, result.State.Model.Graph.Node.Count);
        Assert.IsLessThan(1e-5, Outputs.Difference(small.Model, result.State.Model));
        double Sqnr(OnnxModel m) => QuantizeTests.Sqnr(small.Model, Quantize.Run(m, QuantizeTests.Plan(ActivationMode.Uint8), QuantizeTests.Context(data)).Model, data);
        Assert.IsGreaterThan(Sqnr(small.Model) + 3, Sqnr(result.State.Model));
    }

    [TestMethod]
    public void A_value_that_another_operator_reads_is_left()
    {
        var small = Normalized(decomposed: false);
        small.Node("Sigmoid", "h", "z").Output("z");
        Assert.IsFalse(Repairs.Enumerate(EqualizationTests.Observe(small.Model, ListDataset.Random(small.Model, 2)), new(default)).Any());
    }

    [TestMethod]
    public void Channels_of_the_same_size_are_left()
    {
        var small = new SmallModel().Input("x", 4, 8).Floats("scale", [8], [.. Enumerable.Repeat(1f, 8)])
            .Floats("w", [8, 8], [.. Enumerable.Range(0, 64).Select(i => i % 9 == 0 ? 1f : 0)])
            .Node("Mul", "x,scale", "h").Node("MatMul", "h,w", "y").Output("y");
        var data = new ListDataset([ListDataset.Batch("x", [4, 8], [.. Enumerable.Range(0, 32).Select(i => i / 8 - 1.5f)])]);
        var state = EqualizationTests.Observe(small.Model, data);
        Assert.IsFalse(SmoothQuant.Apply(state, "h", perChannel: true).Changed);
    }

    [TestMethod]
    public void A_real_Llama_in_8_bits_gains()
    {
        using var model = QuantizeTests.Clean("llama-aidreams/aidreams260k.onnx");
        var data = ListDataset.Random(model, 4);
        var state = EqualizationTests.Observe(model, data);
        var smoothed = Repairs.Enumerate(state, new(default) { Equalization = false }).Aggregate(state, (s, r) => r.Apply(s).State).Model;
        // Rounding by data would take part of the same error away: nearest shows what smoothing does.
        var plan = QuantizeTests.Plan(ActivationMode.Uint8) with { AdaRound = false };
        // So would 8-bit products of activations hide it.
        var context = QuantizeTests.Context(data);
        context = context with { Runtime = context.Runtime with { Products = [] } };
        double Sqnr(OnnxModel m) => QuantizeTests.Sqnr(model, Quantize.Run(m, plan, context).Model, data);
        var (before, after) = (Sqnr(model), Sqnr(smoothed));
        Assert.IsGreaterThan(before + 0.5, after);
    }

    private static SmallModel Normalized(bool decomposed)
    {
        float[] scale = [1, 1, 60, 1, 0.5f, 1, 25, 1];
        var small = new SmallModel().Input("x", 5, 8).Floats("scale", [8], scale).Random("wq", 1, 8, 6).Random("wk", 2, 8, 6).Random("bias", 3, 8);
        if (decomposed)
            small.Node("Sin", "x", "n").Node("Mul", "n,scale", "h");
        else
            small.Node("LayerNormalization", "x,scale,bias", "h");
        return small.Node("MatMul", "h,wq", "q").Node("MatMul", "h,wk", "k").Output("q", "k");
    }
}
