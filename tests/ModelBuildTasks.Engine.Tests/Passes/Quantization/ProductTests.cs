using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;

namespace ModelBuildTasks.Engine.Tests.Passes.Quantization;

/// <summary>Matrix products of two activations, as in attention.</summary>
[TestClass]
public sealed class ProductTests
{
    [TestMethod]
    public void With_calibrated_ranges_both_inputs_are_quantized_and_the_result_is_close()
    {
        var small = Attention(4, 32, 16);
        var data = ListDataset.Random(small.Model, 8);
        var result = Quantize.Run(small.Model, QuantizeTests.Plan(ActivationMode.Uint8), QuantizeTests.Context(data));
        Assert.AreEqual(2, result.Decisions.Count(d => d.What == "int8 static"), result.Summary);
        var index = new GraphIndex(result.Model, result.Model.Graph);
        foreach (var product in result.Model.Graph.Node.Where(n => n.OpType == "MatMul"))
            Assert.IsTrue(product.Input.All(i => index.Producer(i)?.OpType == "DequantizeLinear"), "both inputs come from 8 bits");
        Assert.IsGreaterThan(25, QuantizeTests.Sqnr(small.Model, result.Model, data));
    }

    [TestMethod]
    public void A_rule_asks_for_ranges_found_at_run_time()
    {
        var small = Attention(4, 32, 16);
        var data = ListDataset.Random(small.Model, 8);
        RulePlan[] rules = [new(default, ["MatMul"], null, true) { Form = QuantizedForm.Dynamic }];
        var result = Quantize.Run(small.Model, QuantizeTests.Plan(), QuantizeTests.Context() with { Rules = rules });
        Assert.AreEqual(2, result.Decisions.Count(d => d.What == "int8 dynamic"), result.Summary);
        Assert.AreEqual(2, result.Model.Graph.Node.Count(n => n.OpType == "MatMulInteger"));
        Assert.AreEqual(4, result.Model.Graph.Node.Count(n => n.OpType == "DynamicQuantizeLinear"));
        Assert.IsGreaterThan(25, QuantizeTests.Sqnr(small.Model, result.Model, data));
    }

    [TestMethod]
    public void A_rule_leaves_products_in_float()
    {
        var small = Attention(4, 32, 16);
        RulePlan[] rules = [new(default, ["MatMul"], null, Quantize: false)];
        var result = Quantize.Run(small.Model, QuantizeTests.Plan(ActivationMode.Uint8), QuantizeTests.Context(ListDataset.Random(small.Model, 4)) with { Rules = rules });
        Assert.IsFalse(result.Decisions.Any(d => d.What.StartsWith("int8", StringComparison.Ordinal)), result.Summary);
    }

    [TestMethod]
    [DataRow(128, 64, true)]
    [DataRow(16, 8, false)]
    public void The_cost_table_says_whether_8_bits_are_faster(int rows, int depth, bool faster)
    {
        var small = Attention(2, rows, depth);
        var context = new PassContext(RuntimePolicies.Get("ort-cpu"), []) { Calibration = ListDataset.Random(small.Model, 8) };
        var result = Quantize.Run(small.Model, QuantizeTests.Plan() with { MinimumSqnr = 0 }, context);
        Assert.AreEqual(faster, result.Decisions.Any(d => d.What is "int8 static" or "int8 dynamic"), result.Summary);
    }

    [TestMethod]
    [DataRow("openvino")]
    [DataRow("coreml")]
    public void A_runtime_without_such_products_gets_none(string runtime)
    {
        var small = Attention(4, 32, 16);
        var result = Quantize.Run(small.Model, QuantizeTests.Plan(ActivationMode.Uint8), new(RuntimePolicies.Get(runtime), []) { Calibration = ListDataset.Random(small.Model, 4) });
        Assert.IsFalse(result.Decisions.Any(d => d.What == "int8 static"), result.Summary);
    }

    /// <summary>softmax(q·k)·v.</summary>
    private static SmallModel Attention(int heads, int rows, int depth) => new SmallModel()
        .Input("q", heads, rows, depth).Input("k", heads, depth, rows).Input("v", heads, rows, depth)
        .Node("MatMul", "q,k", "scores").Node("Softmax", "scores", "p").Node("MatMul", "p,v", "y").Output("y");
}
