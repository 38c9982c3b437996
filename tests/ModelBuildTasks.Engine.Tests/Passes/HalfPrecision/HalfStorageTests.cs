using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Tests.Onnx;
using ModelBuildTasks.Engine.Tests.Passes.Quantization;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Passes.HalfPrecision;

[TestClass]
public sealed class HalfStorageTests
{
    private static readonly Float16Plan Plan = new(new("test")) { Compute = false };

    [TestMethod]
    public void A_stored_weight_is_the_rounded_one_and_is_cast_when_the_model_is_loaded() => RandomGraphTests.Sample(small =>
    {
        var clean = Cleanup.Run(small.Model, QuantizeTests.Context()).Model;
        var result = Float16Pass.Run(clean, Plan, QuantizeTests.Context());
        var expected = Rounded(clean);
        AssertSame(expected, result.Model);
        if (result.Decisions.All(d => d.What == "left"))
            return;
        AssertFolded(result.Model);
        Assert.IsLessThan(clean.ToBytes().Length, result.Model.ToBytes().Length);
    });

    [TestMethod]
    [DataRow("digits_mobile/digits_mobile.onnx")]
    [DataRow("gtcrn/gtcrn_simple.onnx")]
    [DataRow("iris/iris_network.onnx")]
    [DataRow("llama-aidreams/aidreams260k.onnx")]
    [DataRow("mnist/mnist.onnx")]
    [DataRow("silero-vad/silero_vad_16k_op15.onnx")]
    [DataRow("yunet/yunet_s_dynamic.onnx")]
    public void A_real_model_becomes_half_as_large_and_answers_as_with_rounded_weights(string file)
    {
        using var model = OnnxModel.Load(TestData.Path(file));
        var clean = Cleanup.Run(model, QuantizeTests.Context()).Model;
        var before = clean.ToBytes();

        var result = Float16Pass.Run(clean, Plan, QuantizeTests.Context());

        AssertSame(Rounded(clean), result.Model);
        AssertFolded(result.Model);
        Assert.IsLessThan(Floats(clean) * 0.08, Floats(result.Model), "float32 values that are left");
        CollectionAssert.AreEqual(before, clean.ToBytes(), "the model was changed");
        Assert.IsTrue(result.Decisions.All(d => d.Reason.Length > 0 && d.BytesAfter <= d.BytesBefore));
    }

    [TestMethod]
    public void Threads_do_not_matter()
    {
        using var model = OnnxModel.Load(TestData.Path("yunet/yunet_s_dynamic.onnx"));
        var one = Float16Pass.Run(model, Plan, QuantizeTests.Context());
        var eight = Float16Pass.Run(model, Plan, QuantizeTests.Context() with { Threads = 8 });
        CollectionAssert.AreEqual(one.Model.ToBytes(), eight.Model.ToBytes());
        CollectionAssert.AreEqual(one.Decisions.ToList(), eight.Decisions.ToList());
    }

    [TestMethod]
    public void A_weight_that_branches_share_is_stored_once_and_weights_of_bodies_in_their_body()
    {
        var small = new SmallModel().Input("x", 4, 24).Input("c", DataType.Bool, 1).Random("w", 1, 24, 24)
            .Node("If", "c", "y", ("then_branch", Branch("a")), ("else_branch", Branch("b"))).Output("y");
        foreach (var body in small.Graph.Node[0].Bodies())
            body.Initializer.Add(small.Model.CreateTensor($"{body.Name}_own", [24, 24], SmallModel.Values(7, 576)));
        var result = Float16Pass.Run(small.Model, Plan, QuantizeTests.Context());
        Assert.AreEqual(1, result.Model.Graph.Initializer.Count);
        Assert.AreEqual("3 weights in float16, 3,456 bytes less", result.Summary);
        Assert.IsTrue(TensorWalk.All(result.Model.Proto).All(t => (DataType)t.DataType == DataType.Float16));
        AssertSame(Rounded(small.Model), result.Model);
        AssertFolded(result.Model);

        static GraphProto Branch(string name)
        {
            var body = new GraphProto { Name = name };
            body.Node.Add(GraphExtensions.Node("MatMul", ["x", "w"], [$"{name}_p"]));
            body.Node.Add(GraphExtensions.Node("MatMul", [$"{name}_p", $"{name}_own"], [$"{name}_y"]));
            body.Output.Add(new ValueInfoProto { Name = $"{name}_y" });
            return body;
        }
    }

    [TestMethod]
    public void What_float16_cannot_hold_stays_with_its_reason()
    {
        var small = new SmallModel().Input("x", 1, 64).Random("a", 1, 64, 64).Random("b", 2, 64, 64)
            .Floats("c", [64], [.. SmallModel.Values(3, 64).Select(v => v * 1e-7f)]).Node("MatMul", "x,a", "p").Node("MatMul", "p,b", "q").Node("Mul", "q,c", "y").Output("y");
        small.Graph.Initializer[1] = small.Model.CreateTensor("b", [64, 64], [.. SmallModel.Values(2, 4096).Select(v => v * 1e6f)]);
        var result = Float16Pass.Run(small.Model, Plan, QuantizeTests.Context());
        CollectionAssert.AreEqual(new[] { "float16 weights", "left", "left" }, result.Decisions.Select(d => d.What).ToArray());
        StringAssert.Contains(result.Decisions[1].Reason, "beyond float16's range");
        StringAssert.Contains(result.Decisions[2].Reason, "so small");
        AssertSame(Rounded(small.Model, "a"), result.Model);
    }

    [TestMethod]
    public void A_rule_keeps_a_weight_in_float32_and_a_policy_without_folding_is_told_of()
    {
        var small = new SmallModel().Input("x", 1, 64).Random("a", 1, 64, 64).Random("b", 2, 64, 64).Node("MatMul", "x,a", "p").Node("MatMul", "p,b", "y").Output("y");
        RulePlan[] rules = [new(default, [], "_y$", false)];
        var result = Float16Pass.Run(small.Model, Plan, new(RuntimePolicies.Get("litert"), rules));
        CollectionAssert.AreEqual(new[] { "float16 weights", "left" }, result.Decisions.Select(d => d.What).ToArray());
        StringAssert.Contains(result.Decisions[1].Reason, "a rule leaves it in float32");
        StringAssert.Contains(result.Summary, "litert is not known to compute constants");
    }

    [TestMethod]
    [DataRow(ActivationMode.Uint8)]
    [DataRow(ActivationMode.Dynamic)]
    [DataRow(ActivationMode.None)]
    public void Behind_quantization_codes_and_scales_stay_and_the_rest_becomes_float16(ActivationMode mode) => RandomGraphTests.Sample(small =>
    {
        var data = ListDataset.Random(small.Model, 3);
        var clean = Cleanup.Run(small.Model, QuantizeTests.Context()).Model;
        RulePlan[] rules = [new(default, ["Conv"], null, false)];
        var context = QuantizeTests.Context(data) with { Rules = rules };
        var quantized = Quantize.Run(clean, QuantizeTests.Plan(mode), context);
        var result = Float16Pass.Run(quantized.Model, Plan, QuantizeTests.Context(data));
        Assert.IsGreaterThan(55, QuantizeTests.Sqnr(quantized.Model, result.Model, data));
        Assert.AreEqual("", string.Join("; ", Engine.Passes.Conformance.Check(result.Model, QuantizeTests.Policy())));
        Assert.IsFalse(result.Decisions.Any(d => d.What == "left" && d.BytesBefore == 0));
    }, 15);

    /// <summary>The model with every weight that is worth it rounded, as float32.</summary>
    private static OnnxModel Rounded(OnnxModel model, string? only = null)
    {
        var clone = model.Clone();
        foreach (var tensor in TensorWalk.All(clone.Proto).Where(t => (DataType)t.DataType == DataType.Float && t.Dims.Count > 0 && ElementTypes.Count(t.Dims) > 30 && (only ?? t.Name) == t.Name))
        {
            if (only is not null || Engine.Passes.HalfPrecision.HalfLoss.Of(clone.Payloads[tensor.PayloadRef], tensor.Dims).Refusal is null)
                tensor.PayloadRef = clone.CreateTensor("", tensor.Dims, [.. clone.ReadFloats(tensor).Select(v => (float)(Half)v)]).PayloadRef;
        }

        return clone;
    }

    /// <summary>Loaded as an app loads them, both give the same bytes.</summary>
    private static void AssertSame(OnnxModel expected, OnnxModel actual)
    {
        using var reference = new Session(expected);
        using var session = new Session(actual);
        var inputs = RandomInputs.For(expected);
        var answers = session.Run(inputs);
        foreach (var (name, tensor) in reference.Run(inputs))
            CollectionAssert.AreEqual(tensor.Bytes, answers[name].Bytes, name);
    }

    /// <summary>ONNX Runtime, as an app has it, has no float16 left in any graph.</summary>
    private static void AssertFolded(OnnxModel model)
    {
        var folder = Directory.CreateTempSubdirectory("modelbuild-test-");
        try
        {
            var path = Path.Combine(folder.FullName, "optimized.onnx");
            using (new Session(model, new SessionSettings { OptimizedModelPath = path }))
            {
            }

            using var optimized = OnnxModel.Load(path);
            Assert.IsTrue(TensorWalk.All(model.Proto).Any(t => (DataType)t.DataType == DataType.Float16));
            Assert.IsFalse(TensorWalk.All(optimized.Proto).Any(t => (DataType)t.DataType == DataType.Float16), "a weight is float16 when the model runs");
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    private static long Floats(OnnxModel model) =>
        TensorWalk.All(model.Proto).Where(t => (DataType)t.DataType == DataType.Float).Sum(model.ByteLength);
}
