using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Passes;

namespace ModelBuildTasks.Engine.Tests.Passes.Quantization.Search;

[TestClass]
public sealed class FasterFormsTests
{
    [TestMethod]
    [DataRow("Gemm")]
    [DataRow("MatMul")]
    public void What_is_too_small_to_be_faster_in_8_bits_keeps_float_arithmetic(string op)
    {
        var small = Layers(op, 24);
        var result = Quantize.Run(small.Model, QuantizeTests.Plan(), new(RuntimePolicies.Get("ort-cpu"), []) { Calibration = ListDataset.Random(small.Model, 8) });
        Assert.AreEqual(3, result.Decisions.Count);
        Assert.IsTrue(result.Decisions.All(d => d.What is "int8 weights" or "float16 weights"), result.Summary);
        Assert.IsTrue(result.Decisions.Any(d => d.Reason.Contains("ort-cpu is not faster at it", StringComparison.Ordinal)), result.Summary);
    }

    [TestMethod]
    [DataRow("Gemm", 24, false)]
    [DataRow("MatMul", 24, false)]
    [DataRow("Gemm", 512, true)]
    [DataRow("MatMul", 512, true)]
    public void Without_a_cost_table_or_where_the_table_says_that_it_is_faster_it_is_8_bit_arithmetic(string op, int size, bool costs)
    {
        var small = Layers(op, size);
        var context = new PassContext(costs ? RuntimePolicies.Get("ort-cpu") : QuantizeTests.Policy(), []) { Calibration = ListDataset.Random(small.Model, 8) };
        var result = Quantize.Run(small.Model, QuantizeTests.Plan() with { MinimumSqnr = 0 }, context);
        Assert.IsTrue(result.Decisions.Any(d => d.What is "int8 static" or "int8 dynamic"), result.Summary);
    }

    [TestMethod]
    [DataRow("Gemm")]
    [DataRow("MatMul")]
    public void The_share_that_has_to_stay_in_integer_arithmetic_stays_though_it_is_not_faster(string op)
    {
        // Each layer has a third of the multiply-accumulates: no one can leave where 80 % have to stay.
        var small = Layers(op, 24);
        var result = Quantize.Run(small.Model, QuantizeTests.Plan() with { IntegerMacs = 0.8 }, new(RuntimePolicies.Get("ort-cpu"), []) { Calibration = ListDataset.Random(small.Model, 8) });
        Assert.IsTrue(result.Decisions.All(d => d.What is "int8 static" or "int8 dynamic"), result.Summary);
    }

    /// <summary>Three layers of neurons.</summary>
    private static SmallModel Layers(string op, int size) => new SmallModel().Input("x", 16, size).Random("w1", 1, size, size).Random("w2", 2, size, size).Random("w3", 3, size, size)
        .Node(op, "x,w1", "a").Node("Relu", "a", "ra").Node(op, "ra,w2", "b").Node("Relu", "b", "rb").Node(op, "rb,w3", "y").Output("y");
}
