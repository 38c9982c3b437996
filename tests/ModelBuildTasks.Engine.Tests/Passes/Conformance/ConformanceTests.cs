using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Tests.Passes.Quantization;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Passes.Conformance;

/// <summary>Models that are for one runtime are not for another, and what is broken by hand is found.</summary>
[TestClass]
public sealed class ConformanceTests
{
    [TestMethod]
    [DataRow("ort-cpu", "litert", "activations are uint8; litert has int8")]
    [DataRow("ort-cpu", "tensorrt", "biases of tensorrt are float")]
    [DataRow("ort-cpu", "portable", "exceed int16")]
    [DataRow("ort-cpu", "coreml", "coreml has no Conv with calibrated activations")]
    [DataRow("tensorrt", "ort-cpu", "biases of ort-cpu are int32")]
    [DataRow("litert", "tensorrt", "activations of tensorrt are symmetric")]
    public void A_model_for_one_runtime_is_not_for_another(string made, string wanted, string what)
    {
        var small = QuantizeTests.ConvChain("Relu");
        var model = Made(small.Model, made);
        Assert.IsEmpty(PolicyTests.Violations(model, RuntimePolicies.Get(made)));
        StringAssert.Contains(string.Join('\n', PolicyTests.Violations(model, RuntimePolicies.Get(wanted))), what);
    }

    [TestMethod]
    public void Products_with_ranges_found_at_run_time_are_only_for_runtimes_that_have_them()
    {
        var small = new SmallModel().Input("x", 4, 64).Random("w", 1, 64, 64).Node("MatMul", "x,w", "y").Output("y");
        var model = Quantize.Run(small.Model, QuantizeTests.Plan(ActivationMode.Dynamic), QuantizeTests.Context()).Model;
        Assert.IsEmpty(PolicyTests.Violations(model, RuntimePolicies.Get("ort-cpu")));
        Assert.HasCount(2, PolicyTests.Violations(model, RuntimePolicies.Get("litert")));
    }

    [TestMethod]
    public void Operators_of_onnx_runtime_that_compute_with_codes_are_only_for_runtimes_that_have_them()
    {
        var small = new SmallModel().Input("x", 4, 64).Node("DynamicQuantizeLSTM", "x", "y").Node("Gelu", "y", "z").Output("z");
        foreach (var node in small.Graph.Node)
            node.Domain = "com.microsoft";
        StringAssert.Contains(PolicyTests.Violations(small.Model, RuntimePolicies.Get("qnn")).Single(), "com.microsoft.DynamicQuantizeLSTM");
        var own = RuntimePolicies.ReadText("name: own\nextends: qnn\ncontrib: [DynamicQuantizeLSTM]\n", "own.yaml");
        Assert.IsEmpty(PolicyTests.Violations(small.Model, own));
    }

    [TestMethod]
    public void Stored_weights_are_only_for_runtimes_that_have_them()
    {
        using var model = QuantizeTests.Clean("mnist/mnist.onnx");
        var stored = Quantize.Run(model, QuantizeTests.Plan(ActivationMode.None), QuantizeTests.Context()).Model;
        Assert.IsEmpty(PolicyTests.Violations(stored, RuntimePolicies.Get("coreml")));
        StringAssert.Contains(PolicyTests.Violations(stored, RuntimePolicies.Get("tensorrt"))[0], "8-bit weights and float arithmetic");
    }

    [TestMethod]
    [DataRow("weight zero point", "zero point of its weight")]
    [DataRow("weight type", "not int8")]
    [DataRow("weight axis", "along axis")]
    [DataRow("weight code", "-128")]
    [DataRow("bias scale", "scale of its bias")]
    [DataRow("moved scale", "MaxPool wants one scale")]
    [DataRow("float input", "its input is not")]
    [DataRow("activation scales", "one scale")]
    public void What_is_broken_is_found(string defect, string what)
    {
        var small = new SmallModel().Input("x", 1, 8, 8, 8).Random("w1", 1, 8, 8, 3, 3).Random("b1", 2, 8).Random("w2", 3, 8, 8, 3, 3)
            .Node("Conv", "x,w1,b1", "a").Node("MaxPool", "a", "m", ("kernel_shape", new[] { 2, 2 })).Node("Conv", "m,w2", "y").Output("y");
        var model = Made(small.Model, "ort-cpu").Clone();
        Break(model, defect);
        var violations = PolicyTests.Violations(model, RuntimePolicies.Get("ort-cpu"));
        Assert.IsTrue(violations.Any(v => v.Contains(what, StringComparison.Ordinal)), string.Join('\n', violations));
    }

    private static OnnxModel Made(OnnxModel model, string policy) =>
        Quantize.Run(model, QuantizeTests.Plan(), new PassContext(QuantizeTests.Policy(policy), []) { Calibration = ListDataset.Random(model, 3) }).Model;

    private static void Break(OnnxModel model, string defect)
    {
        var index = new GraphIndex(model, model.Graph);
        var conv = model.Graph.Node.First(n => n.OpType == "Conv");
        var (data, weight, bias) = (index.Producer(conv.Input[0])!, index.Producer(conv.Input[1])!, index.Producer(conv.Input[2])!);
        switch (defect)
        {
            case "weight zero point":
                weight.Input[2] = Add<sbyte>(DataType.Int8, [8], [.. Enumerable.Repeat((sbyte)3, 8)]);
                break;
            case "weight type":
                weight.Input[0] = Add<byte>(DataType.Uint8, [8, 8, 3, 3], new byte[576]);
                weight.Input[2] = Add<byte>(DataType.Uint8, [8], new byte[8]);
                break;
            case "weight axis":
                weight.Set("axis", 1);
                break;
            case "weight code":
                weight.Input[0] = Add<sbyte>(DataType.Int8, [8, 8, 3, 3], [.. Enumerable.Repeat((sbyte)-128, 576)]);
                break;
            case "bias scale":
                bias.Input[1] = Add<float>(DataType.Float, [8], [.. Enumerable.Repeat(1f, 8)]);
                break;
            case "moved scale":
                var pool = model.Graph.Node.First(n => n.OpType == "MaxPool");
                index.Consumers(pool.Output[0])[0].Input[1] = Add<float>(DataType.Float, [], [1f]);
                break;
            case "float input":
                conv.Input[0] = "x";
                break;
            case "activation scales":
                data.Input[1] = Add<float>(DataType.Float, [8], [.. Enumerable.Repeat(1f, 8)]);
                data.Input[2] = Add<byte>(DataType.Uint8, [8], new byte[8]);
                break;
        }

        string Add<T>(DataType type, long[] dims, T[] values) where T : unmanaged
        {
            model.Graph.Initializer.Add(model.CreateTensor<T>("broken" + model.Graph.Initializer.Count, type, dims, values));
            return model.Graph.Initializer[^1].Name;
        }
    }
}
