using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;

namespace ModelBuildTasks.Engine.Tests.Passes.Quantization.Search;

/// <summary>Networks with channels of very different sizes, in the whole pass.</summary>
[TestClass]
public sealed class RepairSearchTests
{
    [TestMethod]
    [DataRow("smoothquant", "smoothed")]
    [DataRow("equalization", "equalized")]
    public void Outliers_of_channels_are_repaired_and_the_error_falls(string kind, string what)
    {
        var (small, data) = Case(kind);
        // Precision is not given back: what is compared is the repair.
        var (with, without) = (Run(small.Model, data, repair: true), Run(small.Model, data, repair: false));
        Assert.IsTrue(with.Decisions.Any(d => d.What == what), string.Join('\n', with.Decisions));
        Assert.IsGreaterThan(QuantizeTests.Sqnr(small.Model, without.Model, data) + 3, QuantizeTests.Sqnr(small.Model, with.Model, data));
    }

    [TestMethod]
    [DataRow("smoothquant")]
    [DataRow("equalization")]
    public void A_plan_without_repairs_takes_none(string kind)
    {
        var (small, data) = Case(kind);
        var result = Run(small.Model, data, repair: false);
        Assert.IsTrue(result.Decisions.All(d => d.What.StartsWith("int8", StringComparison.Ordinal) || d.What.StartsWith("float16", StringComparison.Ordinal)), result.Summary);
    }

    [TestMethod]
    public void A_repair_that_does_not_help_is_not_taken()
    {
        var small = QuantizeTests.ConvChain("Relu");
        var data = ListDataset.Random(small.Model, 12);
        var (with, without) = (Run(small.Model, data, repair: true), Run(small.Model, data, repair: false));
        CollectionAssert.AreEqual(without.Model.ToBytes(), with.Model.ToBytes());
    }

    [TestMethod]
    public void A_repair_has_to_gain_enough_behind_the_rounding_that_weights_get()
    {
        var small = Uneven(seed: 3);
        var data = Smooth(small.Model);
        bool Taken(bool rounded) => Quantize.Run(small.Model, QuantizeTests.Plan() with { MinimumSqnr = 0, AdaRound = rounded }, QuantizeTests.Context(data))
            .Decisions.Any(d => d.What is "equalized" or "smoothed");
        Assert.IsTrue(Taken(rounded: false), "rounded to nearest, weights gain by it");
        Assert.IsFalse(Taken(rounded: true), "rounding for the outputs takes that error away by itself");
    }

    private static SmallModel Uneven(int seed)
    {
        const int Channels = 12;
        var (first, second) = (SmallModel.Values(seed, Channels * 4 * 9), SmallModel.Values(seed + 1000, 8 * Channels * 9));
        for (var i = 0; i < first.Length; i++)
            first[i] *= MathF.Pow(2, i / 36 % 4);
        return new SmallModel().Input("x", 1, 4, 10, 10).Floats("w1", [Channels, 4, 3, 3], first).Floats("b1", [Channels], new float[Channels]).Floats("w2", [8, Channels, 3, 3], second)
            .Node("Conv", "x,w1,b1", "a").Node("Relu", "a", "b").Node("Conv", "b,w2", "y").Output("y");
    }

    // Neighbouring pixels are alike, as in photos: rounding can make up for itself.
    private static ListDataset Smooth(OnnxModel model) => new(
    [
        .. Enumerable.Range(0, 12).Select(s => ListDataset.Batch(model.Inputs[0].Name, [1, 4, 10, 10],
            [.. Enumerable.Range(0, 400).Select(i => MathF.Sin((s + 1) * 0.7f + i % 10 * 0.21f * (s % 3 + 1) + i / 10 % 10 * 0.17f + i / 100 * 0.5f) + 0.05f * MathF.Sin(i * 12.9898f * (s + 1)))])),
    ]);

    private static PassResult Run(OnnxModel model, IDataset data, bool repair) =>
        Quantize.Run(model, QuantizeTests.Plan() with { MinimumSqnr = 0, Equalization = repair, SmoothQuant = repair }, QuantizeTests.Context(data));

    private static (SmallModel, ListDataset) Case(string kind)
    {
        var small = kind == "smoothquant" ? Normalized() : Convolutions();
        return (small, ListDataset.Random(small.Model, 16));
    }

    /// <summary>Channels of a normalized value that are large and count little.</summary>
    private static SmallModel Normalized()
    {
        const int Size = 16;
        float[] scale = [.. Enumerable.Range(0, Size).Select(i => i % 8 == 2 ? 80f : 1)];
        var weights = SmallModel.Values(1, Size * 12);
        for (var i = 0; i < weights.Length; i++)
            weights[i] /= scale[i / 12];
        return new SmallModel().Input("x", 6, Size).Floats("scale", [Size], scale).Random("bias", 3, Size).Floats("w", [Size, 12], weights)
            .Node("LayerNormalization", "x,scale,bias", "h").Node("MatMul", "h,w", "y").Output("y");
    }

    /// <summary>Two convolutions; what the first makes of a channel is up to a hundred times larger than of another, and the second takes it back.</summary>
    private static SmallModel Convolutions()
    {
        const int Channels = 12;
        float[] size = [.. Enumerable.Range(0, Channels).Select(i => MathF.Pow(10, i % 3))];
        var (first, second) = (SmallModel.Values(1, Channels * 4 * 9), SmallModel.Values(2, 8 * Channels * 9));
        for (var i = 0; i < first.Length; i++)
            first[i] *= size[i / 36];
        for (var i = 0; i < second.Length; i++)
            second[i] /= size[i / 9 % Channels];
        return new SmallModel().Input("x", 1, 4, 10, 10).Floats("w1", [Channels, 4, 3, 3], first).Floats("b1", [Channels], new float[Channels]).Floats("w2", [8, Channels, 3, 3], second)
            .Node("Conv", "x,w1,b1", "a").Node("Relu", "a", "b").Node("Conv", "b,w2", "y").Output("y");
    }
}
