using System.Runtime.InteropServices;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Passes.Quantization;
using ModelBuildTasks.Engine.Passes.Quantization.Storage;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Passes.Quantization.Storage;

[TestClass]
public sealed class ExactPalettesTests
{
    // Equal numbers and NaNs of other bits are values of their own.
    private static readonly float[] Special =
    [
        0f, -0f, float.NegativeInfinity, float.PositiveInfinity, float.NaN, BitConverter.UInt32BitsToSingle(0x7fc01234), BitConverter.UInt32BitsToSingle(0xffc00001),
        float.Epsilon, -float.MaxValue, 1 / 3f,
    ];

    [TestMethod]
    [DataRow(true)]
    [DataRow(false)]
    public void A_constant_of_few_values_is_smaller_and_comes_back_in_the_same_bits(bool optimize)
    {
        float[] mask = [.. Enumerable.Range(0, 4000).Select(i => Special[i * i % 97 % Special.Length])];
        var small = new SmallModel().Input("x", 1).Floats("mask", [40, 100], mask).Node("Identity", "mask", "y").Node("Neg", "x", "z").Output("y", "z");
        var before = small.Model.ToBytes().Length;
        var saved = Apply(small.Model);
        Assert.IsGreaterThan(2500L, saved);
        // What it says is no more than what the file loses.
        Assert.IsGreaterThanOrEqualTo(saved, before - small.Model.ToBytes().Length);
        using var session = new Session(small.Model, new SessionSettings(Optimize: optimize));
        var y = session.Run(new Dictionary<string, Tensor> { ["x"] = Tensor.Of<float>(DataType.Float, [1], [1f]) })["y"];
        CollectionAssert.AreEqual(new long[] { 40, 100 }, y.Shape);
        CollectionAssert.AreEqual(MemoryMarshal.AsBytes(mask.AsSpan()).ToArray(), y.Bytes);
    }

    [TestMethod]
    [DataRow(256, true)]
    [DataRow(257, false)]
    public void A_byte_tells_256_values_apart(int distinct, bool stored)
    {
        float[] values = [.. Enumerable.Range(0, 8000).Select(i => (float)(i % distinct))];
        var small = new SmallModel().Input("x", 1).Floats("mask", [8000], values).Node("Add", "x,mask", "y").Output("y");
        Assert.AreEqual(stored, Apply(small.Model) > 0);
        Assert.AreEqual(stored, small.Graph.Initializer.All(i => i.Name != "mask"));
        CollectionAssert.AreEqual(values, Run(small.Model));
    }

    [TestMethod]
    public void A_value_that_is_listed_as_input_or_output_stays_a_tensor()
    {
        float[] values = [.. Enumerable.Range(0, 4000).Select(i => (float)(i % 3))];
        var small = new SmallModel().Input("x", 1).Input("a", 4000).Floats("a", [4000], values).Floats("b", [4000], values)
            .Node("Add", "x,a", "y").Node("Add", "x,b", "z").Output("y", "z", "b");
        Assert.AreEqual(0L, Apply(small.Model));
        CollectionAssert.IsSubsetOf(new[] { "a", "b" }, small.Graph.Initializer.Select(i => i.Name).ToList());
    }

    [TestMethod]
    public void A_constant_that_a_body_reads_is_still_there_for_it()
    {
        float[] values = [.. Enumerable.Range(0, 4000).Select(i => (float)(i % 3))];
        var body = new GraphProto { Name = "body" };
        body.Node.Add(SmallModel.NodeOf("Neg", "mask", "r"));
        body.Output.Add(SmallModel.Value("r", DataType.Float, 4000));
        var small = new SmallModel().Input("x", 1).Floats("mask", [4000], values).Floats("zero", [1], 0).Node("Greater", "x,zero", "c")
            .Node("If", "c", "y", ("then_branch", body), ("else_branch", body.Clone())).Output("y", DataType.Float);
        Assert.IsGreaterThan(0L, Apply(small.Model));
        CollectionAssert.AreEqual(values.Select(v => -v).ToArray(), Run(small.Model));
    }

    [TestMethod]
    public void Scales_stay_constants_so_that_a_runtime_fuses_with_them()
    {
        // 128 channels whose largest weight is 1 or 2: two scales, and as many of the bias.
        var values = SmallModel.Values(1, 128 * 8 * 9);
        for (var c = 0; c < 128; c++)
            values[c * 72] = 1 + (c % 2);
        var small = new SmallModel().Input("x", 1, 8, 6, 6).Floats("w", [128, 8, 3, 3], values).Random("b", 2, 128).Node("Conv", "x,w,b", "y").Output("y");
        var result = Quantize.Run(small.Model, QuantizeTests.Plan(ActivationMode.Uint8), QuantizeTests.Context(ListDataset.Random(small.Model, 2)));
        Assert.AreEqual("int8 static", result.Decisions.Single().What);
        Assert.AreEqual("", string.Join("; ", Engine.Passes.Conformance.Check(result.Model, RuntimePolicies.Get("ort-cpu")).Select(v => v.What)));
        Assert.AreEqual(1, QuantizeTests.Optimized(result.Model).GetValueOrDefault("QLinearConv"));
    }

    private static long Apply(OnnxModel model) => ExactPalettes.Apply(new RewriteContext(model, QuantizeTests.Plan(), RuntimePolicies.Get("ort-cpu").Formats));

    private static float[] Run(OnnxModel model)
    {
        using var session = new Session(model);
        return session.Run(new Dictionary<string, Tensor> { ["x"] = Tensor.Of<float>(DataType.Float, [1], [0f]) })["y"].ToFloats();
    }
}
