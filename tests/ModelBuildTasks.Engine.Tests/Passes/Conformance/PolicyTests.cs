using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Tests.Passes.Quantization;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Passes.Conformance;

[TestClass]
public sealed class PolicyTests
{
    private static readonly (string File, double Sqnr)[] Models =
    [
        ("digits_mobile/digits_mobile.onnx", 20), ("mnist/mnist.onnx", 25), ("yunet/yunet_s_dynamic.onnx", 18),
        ("iris/iris_network.onnx", 30), ("gtcrn/gtcrn_simple.onnx", 20), ("llama-aidreams/aidreams260k.onnx", 18),
    ];

    private static readonly Dictionary<string, OnnxModel> Cleaned = [];

    private static IEnumerable<object[]> Cases => RuntimePolicies.Names.SelectMany(p => Models.Select(m => new object[] { p, m.File, m.Sqnr }));

    private static IEnumerable<object[]> Policies => RuntimePolicies.Names.Select(p => new object[] { p });

    [TestMethod]
    [DynamicData(nameof(Cases))]
    public void A_real_model_conforms_to_the_policy_and_answers_like_the_original_in_onnx_runtime(string name, string file, double atLeast)
    {
        var policy = RuntimePolicies.Get(name);
        var model = Clean(file);
        var data = ListDataset.Random(model, 4);
        // The search takes long on a model of many nodes: it is run for one policy.
        var activations = name == "ort-cpu" || !file.StartsWith("gtcrn", StringComparison.Ordinal) ? ActivationMode.Auto : ActivationMode.Uint8;
        var result = Quantize.Run(model, QuantizeTests.Plan(activations), new PassContext(policy, []) { Calibration = data });
        Assert.AreEqual("", string.Join("; ", Violations(result.Model, policy)));
        Assert.IsGreaterThan(atLeast, QuantizeTests.Sqnr(model, result.Model, data), result.Summary);
    }

    [TestMethod]
    [DynamicData(nameof(Policies))]
    public void Any_network_conforms_to_the_policy_and_answers_like_the_original(string name)
    {
        var policy = RuntimePolicies.Get(name);
        RandomGraphTests.Sample(small => Check(small, policy), count: 12);
    }

    private static void Check(SmallModel small, RuntimePolicy policy)
    {
        var data = ListDataset.Random(small.Model, 5);
        var clean = Cleanup.Run(small.Model, QuantizeTests.Context()).Model;
        foreach (var activations in new[] { ActivationMode.Auto, ActivationMode.Uint8, ActivationMode.Uint16 })
        {
            var result = Quantize.Run(clean, QuantizeTests.Plan(activations), new PassContext(policy, []) { Calibration = data });
            Assert.IsEmpty(Violations(result.Model, policy));
            Assert.IsGreaterThan(activations == ActivationMode.Uint16 ? 24 : 15, QuantizeTests.Sqnr(small.Model, result.Model, data), result.Summary);
        }
    }

    [TestMethod]
    [DataRow("ort-cpu", DataType.Uint8, 0)]
    [DataRow("tensorrt", DataType.Int8, 0)]
    [DataRow("litert", DataType.Int8, -128)]
    public void Activations_have_the_type_and_the_zero_points_that_the_policy_wants(string name, DataType type, int zeroPoint)
    {
        var small = QuantizeTests.ConvChain("Relu");
        var result = Quantize.Run(small.Model, QuantizeTests.Plan(), new PassContext(QuantizeTests.Policy(name), []) { Calibration = ListDataset.Random(small.Model, 3) });
        var index = new GraphIndex(result.Model, result.Model.Graph);
        var pairs = result.Model.Graph.Node.Where(n => n.OpType == "QuantizeLinear").ToDictionary(n => index.Consumers(n.Output[0])[0].Output[0], n => QuantizedTensor.Of(result.Model, index, n)!);
        Assert.IsTrue(pairs.Values.All(t => t.Type == type));
        // Behind the Relu nothing is negative.
        Assert.AreEqual(zeroPoint, pairs["b"].ZeroPoints[0]);
        // Where it is absorbed it is gone, where it is not it stands in front of the pair.
        Assert.AreEqual(name == "tensorrt" ? 1 : 0, result.Model.Graph.Node.Count(n => n.OpType == "Relu"));
    }

    [TestMethod]
    public void Sixteen_bits_lose_less_than_eight_and_a_runtime_without_them_says_so()
    {
        var small = QuantizeTests.ConvChain("Relu");
        var data = ListDataset.Random(small.Model, 3);
        PassResult Run(string name, ActivationMode mode) => Quantize.Run(small.Model, QuantizeTests.Plan(mode), new PassContext(QuantizeTests.Policy(name), []) { Calibration = data });
        var (narrow, wide, none) = (Run("qnn", ActivationMode.Uint8), Run("qnn", ActivationMode.Uint16), Run("litert", ActivationMode.Uint16));
        Assert.IsEmpty(Violations(wide.Model, RuntimePolicies.Get("qnn")));
        Assert.IsGreaterThan(QuantizeTests.Sqnr(small.Model, narrow.Model, data) + 1, QuantizeTests.Sqnr(small.Model, wide.Model, data));
        Assert.IsTrue(wide.Model.Graph.Node.Where(n => n.OpType == "QuantizeLinear").All(n => n.Domain == "com.microsoft"));
        Assert.IsTrue(none.Decisions.All(d => d.What == "int8 weights" && d.Reason.Contains("no 16-bit activations", StringComparison.Ordinal)), none.Decisions[0].Reason);
    }

    [TestMethod]
    public void A_concatenation_of_a_fixed_range_gets_its_inputs_in_one_scale()
    {
        // A Sigmoid of a fixed range beside a convolution of another: one of them has to be rescaled in front of the Concat.
        var small = new SmallModel().Input("x", 1, 8, 6, 6).Random("w1", 1, 8, 8, 3, 3).Random("w2", 2, 8, 8, 3, 3).Random("w3", 3, 8, 16, 1, 1)
            .Node("Conv", "x,w1", "a").Node("Sigmoid", "a", "s").Node("Conv", "x,w2", "b").Node("Concat", "s,b", "c", ("axis", 1)).Node("Conv", "c,w3", "y").Output("y");
        var data = ListDataset.Random(small.Model, 3);
        var policy = RuntimePolicies.Get("litert");
        var result = Quantize.Run(small.Model, QuantizeTests.Plan(), new PassContext(policy, []) { Calibration = data });
        Assert.IsEmpty(Violations(result.Model, policy));
        Assert.IsTrue(Violations(Quantize.Run(small.Model, QuantizeTests.Plan(), QuantizeTests.Context(data)).Model, policy).Length > 0);
        var index = new GraphIndex(result.Model, result.Model.Graph);
        var sigmoid = result.Model.Graph.Node.Single(n => n.OpType == "Sigmoid");
        var tensor = QuantizedTensor.Of(result.Model, index, index.Consumers(sigmoid.Output[0]).Single())!;
        Assert.AreEqual((1 / 256f, -128), (tensor.Scales[0], tensor.ZeroPoints[0]));
        Assert.IsGreaterThan(25, QuantizeTests.Sqnr(small.Model, result.Model, data));
    }

    internal static string[] Violations(OnnxModel model, RuntimePolicy policy) => [.. Engine.Passes.Conformance.Check(model, policy).Select(v => $"{v.Node}: {v.What}")];

    private static OnnxModel Clean(string file)
    {
        lock (Cleaned)
        {
            if (!Cleaned.TryGetValue(file, out var model))
                Cleaned[file] = model = QuantizeTests.Clean(file);
            return model;
        }
    }
}
