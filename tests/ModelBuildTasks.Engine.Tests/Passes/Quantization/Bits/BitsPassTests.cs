using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Tests.Manifest;
using ModelBuildTasks.Engine.Tests.Passes.Conformance;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Passes.Quantization.Bits;

[TestClass]
public sealed class BitsPassTests
{
    // The language model without its reader of the data: sequences to calibrate on, and others to judge by.
    private static readonly Lazy<(OnnxModel Model, ListDataset Seen, ListDataset Other)> Stories = new(() =>
    {
        var model = QuantizeTests.Clean("llama-aidreams/aidreams260k.onnx");
        var tokens = File.ReadAllBytes(TestData.Path("llama-aidreams/tokens_i64_128x128.npy"));
        var data = tokens.AsSpan(tokens.Length - 128 * 128 * 8).ToArray();
        ListDataset Take(int first, int count) => new([.. Enumerable.Range(first, count).Select(i => new Batch(new Dictionary<string, Tensor>
        {
            ["input_ids"] = Tensor.Of<long>(DataType.Int64, [1, 128], System.Runtime.InteropServices.MemoryMarshal.Cast<byte, long>(data.AsSpan(i * 1024, 1024)).ToArray()),
        }, null, 1))]);
        return (model, Take(0, 12), Take(70, 6));
    });

    [TestMethod]
    public void Rounding_by_data_brings_a_language_model_nearer_than_to_nearest_in_2_3_and_4_bits()
    {
        var (model, seen, other) = Stories.Value;
        foreach (var word in new[] { "uint4", "int3", "uint2" })
        {
            var bits = BitModels.Bits(word);
            var nearest = BitModels.Run(model, bits with { Method = BitsMethod.Rtn }, seen).Model;
            var rounded = BitModels.Run(model, bits with { Method = BitsMethod.Gptq }, seen).Model;
            Assert.IsGreaterThan(QuantizeTests.Sqnr(model, nearest, other) + 0.7, QuantizeTests.Sqnr(model, rounded, other), word);
            Assert.AreEqual(nearest.ToBytes().Length, rounded.ToBytes().Length, 200);
        }
    }

    [TestMethod]
    public void Scaling_channels_by_their_activations_keeps_the_function_and_brings_rounded_weights_nearer()
    {
        // One input is a hundred times as large as the others, and its weights are small.
        var weight = SmallModel.Values(1, 64 * 48);
        for (var o = 0; o < 48; o++)
            weight[5 * 48 + o] *= 0.1f;
        float[] gamma = [.. Enumerable.Range(0, 64).Select(i => i == 5 ? 100f : 1)];
        var small = new SmallModel().Input("x", 16, 64).Floats("g", [64], gamma).Floats("w", [64, 48], weight)
            .Node("Tanh", "x", "t").Node("Mul", "t,g", "h").Node("MatMul", "h,w", "y").Output("y");
        var data = ListDataset.Random(small.Model, 12);
        var (nearest, scaled) = (Run(BitsMethod.Rtn), Run(BitsMethod.Awq));
        Assert.AreEqual(1, scaled.Decisions.Count(d => d.What == "scaled"), scaled.Summary);
        Assert.IsFalse(scaled.Model.Graph.Node.Count(n => n.OpType == "Mul") > nearest.Model.Graph.Node.Count(n => n.OpType == "Mul"));
        var judge = ListDataset.Random(small.Model, 30);
        Assert.IsGreaterThan(QuantizeTests.Sqnr(small.Model, nearest.Model, judge) + 2, QuantizeTests.Sqnr(small.Model, scaled.Model, judge));

        PassResult Run(BitsMethod method) => BitModels.Run(small.Model, BitModels.Bits("int3") with { Method = method, Group = 64 }, data);
    }

    [TestMethod]
    public void Awq_is_better_than_to_nearest_on_a_language_model()
    {
        var (model, seen, other) = Stories.Value;
        var bits = BitModels.Bits("uint3");
        var nearest = BitModels.Run(model, bits with { Method = BitsMethod.Rtn }, seen).Model;
        var scaled = BitModels.Run(model, bits with { Method = BitsMethod.Awq }, seen);
        Assert.IsTrue(scaled.Decisions.Any(d => d.What == "scaled"));
        Assert.IsGreaterThan(QuantizeTests.Sqnr(model, nearest, other) + 0.5, QuantizeTests.Sqnr(model, scaled.Model, other));
    }

    [TestMethod]
    public void A_budget_is_kept_in_file_bytes_and_beats_the_same_bits_for_all()
    {
        var (model, seen, other) = Stories.Value;
        var uniform = BitModels.Run(model, BitModels.Bits("uint2"), seen).Model;
        var mixed = BitModels.Run(model, new BitsPlan(8) { Average = 2.7 }, seen);
        Assert.IsLessThanOrEqualTo(uniform.ToBytes().Length, mixed.Model.ToBytes().Length);
        Assert.IsGreaterThan(QuantizeTests.Sqnr(model, uniform, other) + 0.3, QuantizeTests.Sqnr(model, mixed.Model, other));
        Assert.IsGreaterThan(1, mixed.Decisions.Select(d => d.What).Distinct().Count());
        var weights = mixed.Decisions.Sum(d => d.BytesBefore) / 4 - 512 * 64;
        Assert.IsLessThanOrEqualTo(weights * 2.7 / 8, mixed.Decisions.Sum(d => (double)d.BytesAfter));
    }

    [TestMethod]
    public void A_budget_that_nothing_fits_into_is_an_error_that_says_what_does()
    {
        var small = BitModels.One("MatMul");
        var error = Assert.ThrowsExactly<ModelBuildException>(() => BitModels.Run(small.Model, new BitsPlan(8) { Average = 1.5 }));
        Assert.AreEqual(DiagnosticCodes.BitBudget, error.First.Code);
        StringAssert.Contains(error.First.Message, "take at least");
    }

    [TestMethod]
    public void A_runtime_without_few_bits_is_an_error()
    {
        var error = Assert.ThrowsExactly<ModelBuildException>(() => BitModels.Run(BitModels.One("MatMul").Model, BitModels.Bits("uint4"), policy: "litert"));
        Assert.AreEqual(DiagnosticCodes.NoSuchWeights, error.First.Code);
    }

    [TestMethod]
    public void What_has_no_form_in_few_bits_or_would_be_larger_gets_8_bits_and_a_rule_says_weights_or_none()
    {
        var small = new SmallModel().Input("x", 1, 16, 8, 8).Random("w1", 1, 16, 24, 3, 3).Random("w2", 2, 24, 24, 3, 3).Random("w3", 3, 24, 24, 3, 3).Random("w4", 4, 24, 24, 3, 3).Random("w5", 5, 16, 24, 1, 1)
            .Node("ConvTranspose", "x,w1", "a").Node("Conv", "a,w2", "b").Node("Conv", "b,w3", "c").Node("Conv", "c,w4", "d").Node("Conv", "d,w5", "y").Output("y");
        RulePlan[] rules = [new(default, [], "^Conv_c$", true) { Form = QuantizedForm.Weights }, new(default, [], "^Conv_d$", false)];
        var result = Quantize.Run(small.Model, BitModels.Plan(BitModels.Bits("uint4")), QuantizeTests.Context() with { Rules = rules });
        string What(string node) => result.Decisions.Single(d => d.Name == node).What;
        Assert.AreEqual(
            ("int8 weights", "uint4 weights", "int8 weights", "left", "int8 weights"),
            (What("ConvTranspose_a"), What("Conv_b"), What("Conv_c"), What("Conv_d"), What("Conv_y")));
        Assert.IsTrue(result.Decisions.All(d => d.Reason.Length > 0));
        _ = QuantizeTests.Optimized(result.Model);
    }

    [TestMethod]
    [DataRow("ort-cpu")]
    [DataRow("openvino")]
    [DataRow("qnn")]
    [DataRow("coreml")]
    public void What_is_made_for_a_runtime_is_for_it_and_blocked_codes_are_not_for_one_without(string policy)
    {
        foreach (var word in new[] { "uint4", "int2", "binary" })
        {
            using var model = Outputs.Clean(BitModels.One("tied").Model).Model;
            var made = BitModels.Run(model, BitModels.Bits(word), policy: policy).Model;
            Assert.IsEmpty(PolicyTests.Violations(made, RuntimePolicies.Get(policy)), $"{policy} {word}");
            if (made.Graph.Node.Any(n => n.OpType == "DequantizeLinear"))
                StringAssert.Contains(string.Join('\n', PolicyTests.Violations(made, RuntimePolicies.Get("tensorrt"))), "tensorrt has no weights of");
        }
    }

    [TestMethod]
    public void Threads_do_not_change_a_byte()
    {
        var (model, seen, _) = Stories.Value;
        byte[] Run(int threads) => Quantize.Run(model, BitModels.Plan(new BitsPlan(4) { Method = BitsMethod.Awq }), QuantizeTests.Context(seen) with { Threads = threads }).Model.ToBytes();
        CollectionAssert.AreEqual(Run(1), Run(3));
    }

    [TestMethod]
    [DataRow("silero-vad/silero_vad_16k_op15.onnx")]
    [DataRow("gtcrn/gtcrn_simple.onnx")]
    [DataRow("digits_mobile/digits_mobile.onnx")]
    [DataRow("mnist/mnist.onnx")]
    public void Real_models_run_with_4_bit_weights_and_are_smaller_than_with_8(string file)
    {
        using var model = QuantizeTests.Clean(file);
        var data = ListDataset.Random(model, 3);
        var few = BitModels.Run(model, BitModels.Bits("uint4"), data).Model;
        var eight = Quantize.Run(model, QuantizeTests.Plan(ActivationMode.None), QuantizeTests.Context()).Model;
        Assert.IsLessThan(eight.ToBytes().Length, few.ToBytes().Length);
        Assert.IsGreaterThan(5, QuantizeTests.Sqnr(model, few, data));
    }

    [TestMethod]
    [DataRow("weights: int8, method: rtn", "'method' has a meaning only for weights below 8 bits")]
    [DataRow("weights: int4, calibrator: mse", "'calibrator' has a meaning only with 'weights: int8'")]
    [DataRow("weights: int4, activations: dynamic", "activations stay float")]
    [DataRow("weights: int4, planes: 2", "'planes' has a meaning only with 'weights: binary'")]
    [DataRow("weights: int4, symmetric: true", "says whether there is a zero point")]
    [DataRow("weights: binary, method: hqq", "is not for binary weights")]
    [DataRow("weights: uint4, method: gptq", "give the target a 'calibration'")]
    [DataRow("weights: uint4, method: awq", "give the target a 'calibration'")]
    [DataRow("weights: 9 bits", "a number of bits")]
    [DataRow("weights: uint4, group: 48", "16, 32, 64, 128 or 256")]
    public void Options_that_do_not_go_together_are_errors(string options, string message)
    {
        using var folder = new ManifestFolder("a.onnx");
        StringAssert.Contains(string.Join('\n', folder.Diagnostics($"version: 1\ntargets: [ {{ model: a.onnx, passes: [ {{ quantize: {{ {options} }} }} ] }} ]")), message);
    }

    [TestMethod]
    public void A_manifest_says_bits_group_and_method()
    {
        using var folder = new ManifestFolder("a.onnx");
        BitsPlan? Of(string options) => ((QuantizePlan)folder.Read($"version: 1\ntargets: [ {{ model: a.onnx, passes: [ {{ quantize: {{ {options} }} }} ] }} ]").Targets.Single().Passes.Single()).Bits;
        Assert.AreEqual(new BitsPlan(4) { Group = 64, Method = BitsMethod.Hqq }, Of("weights: uint4, group: 64, method: hqq"));
        Assert.AreEqual(new BitsPlan(3) { Symmetric = true, Group = 0 }, Of("weights: int3, group: channel"));
        Assert.AreEqual(new BitsPlan(2) { Symmetric = true, Ternary = true }, Of("weights: ternary"));
        Assert.AreEqual(new BitsPlan(1) { Symmetric = true, Planes = 3 }, Of("weights: binary, planes: 3"));
        Assert.AreEqual(new BitsPlan(8) { Average = 4.2, Symmetric = true }, Of("weights: 4.2 bits, symmetric: true"));
        Assert.IsNull(Of("weights: int8"));
        Assert.AreEqual(new BitsPlan(4), ((QuantizePlan)Recipes.Passes("int4").Single()).Bits);
        Assert.AreEqual("binary", ((QuantizePlan)Recipes.Passes("binary").Single()).Bits!.Word);
    }
}
