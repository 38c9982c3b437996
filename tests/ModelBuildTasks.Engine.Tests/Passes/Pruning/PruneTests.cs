using CsCheck;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Passes.Pruning;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Passes;

[TestClass]
public sealed class PruneTests
{
    [TestMethod]
    public void Exactly_the_values_of_least_magnitude_become_zero() =>
        Gen.Select(Gen.Int[-20, 20].Array[1, 300], Gen.Int[0, 100]).Sample((values, percent) =>
        {
            var amount = percent / 100.0;
            var floats = values.Select(v => v / 8f).ToArray();
            var clear = values.Length * percent / 100;
            // A stable sort takes, of equal magnitudes, those that come first.
            var expected = (float[])floats.Clone();
            foreach (var i in Enumerable.Range(0, floats.Length).OrderBy(i => Math.Abs(floats[i])).Take(clear))
                expected[i] = 0;

            Assert.IsTrue(expected.SequenceEqual(Values<float>(DataType.Float, floats, amount)), $"float32, {percent} %");
            Assert.IsTrue(expected.SequenceEqual(Values<double>(DataType.Double, [.. floats.Select(v => (double)v)], amount).Select(v => (float)v)), $"float64, {percent} %");
            Assert.IsTrue(expected.SequenceEqual(Values<Half>(DataType.Float16, [.. floats.Select(v => (Half)v)], amount).Select(v => (float)v)), $"float16, {percent} %");
        });

    [TestMethod]
    public void Zeros_count_and_infinities_and_NaN_are_never_least()
    {
        var result = Magnitudes.Prune(Bytes<float>(float.NaN, 0, -1, float.NegativeInfinity, -0f, 2, 3, 4), DataType.Float, 4);

        Assert.AreEqual(4, result.Zeros);
        Assert.AreEqual(2, result.Cleared);
        var values = System.Runtime.InteropServices.MemoryMarshal.Cast<byte, float>(result.Raw).ToArray();
        Assert.IsTrue(float.IsNaN(values[0]) && float.IsNegativeInfinity(values[3]) && values[6] == 3 && values[7] == 4);
    }

    [TestMethod]
    public void The_error_is_that_of_the_values_that_went()
    {
        var result = Magnitudes.Prune(Bytes<float>(1, 2, 3, 4), DataType.Float, 2);

        Assert.AreEqual(10 * Math.Log10(30.0 / 5), result.Sqnr!.Value, 1e-9);
        Assert.AreEqual(200, Magnitudes.Prune(Bytes<float>(0, 0, 3, 4), DataType.Float, 2).Sqnr);
        Assert.IsNull(Magnitudes.Prune(Bytes<float>(0, 0), DataType.Float, 1).Sqnr);
    }

    [TestMethod]
    public void Twenty_nine_percent_of_a_hundred_is_twenty_nine() =>
        StringAssert.Contains(Pruned(new SmallModel().Input("x", 1, 10).Output("y").Random("w", 1, 10, 10).Node("MatMul", ["x", "w"], ["y"]).Model, 0.29).Summary, "29.0 % of 100 values");

    [TestMethod]
    [DataRow("digits_mobile/digits_mobile.onnx")]
    [DataRow("silero-vad/silero_vad_16k_op15.onnx")]
    public void Half_of_each_weight_of_a_real_model_becomes_zero_and_the_rest_keeps_its_bytes(string file)
    {
        using var model = OnnxModel.Load(TestData.Path(file));

        var result = Pruned(model, 0.5);

        var seen = 0;
        foreach (var (before, after) in TensorWalk.All(model.Proto).Zip(TensorWalk.All(result.Model.Proto)))
        {
            if (before.PayloadRef == after.PayloadRef)
                continue;
            var (x, y) = (model.ReadFloats(before), result.Model.ReadFloats(after));
            Assert.AreEqual(Math.Max(x.Length / 2, x.Count(v => v == 0)), y.Count(v => v == 0));
            Assert.IsTrue(x.Zip(y).All(p => p.Second == 0 || p.First == p.Second));
            seen++;
        }

        Assert.IsGreaterThan(5, seen);
        Assert.IsTrue(result.Decisions.Where(d => d.What != "left").All(d => d.BytesBefore == d.BytesAfter && d.BytesBefore > 0 && d.Sqnr is > 5 and < 60));
        using var session = new Engine.Execution.Session(result.Model.ToBytes());
    }

    [TestMethod]
    public void A_weight_in_a_Constant_node_of_a_body_is_found()
    {
        var body = new SmallModel().Output("t").Node("MatMul", ["x", "w"], ["t"]);
        var small = new SmallModel().Input("x", 1, 4).Input("flag", DataType.Bool).Output("out");
        body.Graph.Node.Insert(0, GraphExtensions.Node("Constant", [], ["w"]).Set("value", small.Model.CreateTensor("", [4, 2], SmallModel.Values(1, 8))));
        small.Node("If", ["flag"], ["out"], n => n.Attribute.Add(new AttributeProto { Name = "then_branch", G = body.Graph, Type = AttributeProto.Types.AttributeType.Graph }));

        var result = Pruned(small.Model, 0.5);

        Assert.AreEqual("pruned 50.0 %", result.Decisions.Single().What);
        var tensor = TensorWalk.All(result.Model.Proto).Single();
        Assert.AreEqual(4, result.Model.ReadFloats(tensor).Count(v => v == 0));
        Assert.AreEqual(0, small.Model.ReadFloats(TensorWalk.All(small.Model.Proto).Single()).Count(v => v == 0));
    }

    [TestMethod]
    public void A_shared_weight_is_pruned_once_and_biases_and_tables_are_left()
    {
        var small = new SmallModel().Input("x", 1, 4).Output("a").Output("b").Output("rows").Random("w", 1, 4, 4).Random("bias", 2, 4).Random("table", 3, 4, 4).Longs("row", [1], 2)
            .Node("Gemm", ["x", "w", "bias"], ["a"], name: "first").Node("MatMul", ["x", "w"], ["b"], name: "second").Node("Gather", ["table", "row"], ["rows"]);

        var result = Pruned(small.Model, 0.25);

        CollectionAssert.AreEqual(new[] { "pruned 25.0 %", "pruned 25.0 %" }, result.Decisions.Select(d => d.What).ToArray());
        StringAssert.Contains(result.Decisions[1].Reason, "shares its weight with Gemm 'first'");
        CollectionAssert.AreEqual(new[] { 4, 0, 0 }, result.Model.Graph.Initializer.Take(3).Select(t => result.Model.ReadFloats(t).Count(v => v == 0)).ToArray());
        StringAssert.Contains(result.Summary, "25.0 % of 16 values in 1 weight");
    }

    [TestMethod]
    public void What_is_not_pruned_is_left_with_a_reason()
    {
        var small = new SmallModel().Input("x", 4, 4).Output("a").Output("b").Output("c").Random("v", 1, 4).Floats("scale", [], 0.1f)
            .Node("MatMul", ["x", "x"], ["a"]).Node("MatMul", ["x", "v"], ["b"]).Node("DequantizeLinear", ["q", "scale"], ["w"]).Node("MatMul", ["x", "w"], ["c"]);
        small.Graph.Initializer.Add(small.Model.CreateTensor("q", DataType.Int8, [4, 4], new ReadOnlyMemory<byte>(new byte[16])));

        var result = Pruned(small.Model, 0.5);

        CollectionAssert.AreEqual(
            new[] { "its weight is not constant", "its weight has one dimension", "it is quantized already" }, result.Decisions.Select(d => d.Reason).ToArray());
        Assert.IsTrue(result.Decisions.All(d => d.What == "left"));
        CollectionAssert.AreEqual(small.Model.ToBytes(), result.Model.ToBytes());
        Assert.AreEqual("no weight to prune", result.Summary);
    }

    private static PassResult Pruned(OnnxModel model, double amount) => Prune.Run(
        model, new PrunePlan(new SourceLocation("test"), amount), new PassContext(new RuntimePolicy("test", 17, new Dictionary<string, OperatorPolicy>()), []));

    private static byte[] Bytes<T>(params T[] values) where T : unmanaged => System.Runtime.InteropServices.MemoryMarshal.AsBytes<T>(values).ToArray();

    private static T[] Values<T>(DataType type, T[] values, double amount) where T : unmanaged =>
        System.Runtime.InteropServices.MemoryMarshal.Cast<byte, T>(Magnitudes.Prune(Bytes(values), type, (long)Math.Round(amount * 100) * values.Length / 100).Raw).ToArray();
}
