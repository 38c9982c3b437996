using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Passes.Quantization;
using ModelBuildTasks.Engine.Tests.Onnx;

namespace ModelBuildTasks.Engine.Tests.Passes.Quantization;

/// <summary>What is carried in 8 bits between convolutions, on graphs made for the corner.</summary>
[TestClass]
public sealed class StaticGraphTests
{
    [TestMethod]
    [DataRow("Relu")]
    [DataRow("MaxPool")]
    [DataRow("Sigmoid")]
    public void What_lies_between_two_convolutions_stays_in_8_bits(string between)
    {
        var small = QuantizeTests.ConvChain("Relu");
        if (between != "Relu")
        {
            var node = small.Graph.Node[1];
            node.OpType = between;
            if (between == "MaxPool")
                node.Set("kernel_shape", 2L, 2L);
        }

        var kernels = Quantized(small, out var sqnr);
        Assert.AreEqual(2, kernels.GetValueOrDefault("QLinearConv"));
        Assert.AreEqual(1, kernels.GetValueOrDefault("QuantizeLinear"));
        Assert.AreEqual(1, kernels.GetValueOrDefault("DequantizeLinear"));
        Assert.IsGreaterThan(25, sqnr);
    }

    [TestMethod]
    public void An_operator_without_an_8_bit_kernel_between_two_convolutions_runs_in_float()
    {
        var kernels = Quantized(QuantizeTests.ConvChain("Tanh"), out var sqnr);
        Assert.AreEqual(2, kernels.GetValueOrDefault("QLinearConv"));
        Assert.AreEqual(1, kernels.GetValueOrDefault("Tanh"));
        Assert.IsGreaterThan(25, sqnr);
    }

    [TestMethod]
    public void A_Clip_keeps_its_bound_when_a_Concat_joins_it_with_larger_values()
    {
        // One branch is cut at 0.1, the other reaches far higher: one scale for both would let the first pass its bound.
        var small = Branches("Clip");
        small.Floats("zero", [], 0f).Floats("tenth", [], 0.1f);
        small.Graph.Node.Single(n => n.OpType == "Clip").Input.AddRange(["zero", "tenth"]);
        Quantized(small, out var sqnr);
        Assert.IsGreaterThan(25, sqnr);
    }

    [TestMethod]
    public void A_Relu_keeps_its_zero_when_a_Concat_joins_it_with_negative_values()
    {
        Quantized(Branches("Relu"), out var sqnr);
        Assert.IsGreaterThan(25, sqnr);
    }

    [TestMethod]
    public void An_activation_is_not_absorbed_when_its_input_is_read_elsewhere()
    {
        var small = QuantizeTests.ConvChain("Relu");
        small.Node("Add", "a,b", "sum");
        small.Graph.Node.Single(n => n.Output[0] == "y").Input[0] = "sum";
        var conv = small.Graph.Node.Single(n => n.Output[0] == "y");
        small.Graph.Node.Remove(conv);
        small.Graph.Node.Add(conv);
        Quantized(small, out var sqnr);
        Assert.IsGreaterThan(25, sqnr);
    }

    [TestMethod]
    public void A_graph_output_in_the_middle_keeps_its_name_and_its_value()
    {
        var small = QuantizeTests.ConvChain("Relu").Output("b");
        Quantized(small, out var sqnr);
        Assert.IsGreaterThan(25, sqnr);
    }

    [TestMethod]
    public void A_residual_sum_with_a_constant_operand_is_carried_in_8_bits()
    {
        var small = QuantizeTests.ConvChain("Relu").Floats("k", [1, 8, 1, 1], 0.1f, -0.2f, 0.3f, 0.4f, 0.5f, -0.6f, 0.7f, 0.8f);
        var add = small.Graph.Node[1];
        add.OpType = "Add";
        add.Input.Add("k");
        var kernels = Quantized(small, out var sqnr);
        Assert.AreEqual(1, kernels.GetValueOrDefault("QLinearAdd"));
        Assert.IsGreaterThan(25, sqnr);
    }

    [TestMethod]
    [DataRow("GlobalAveragePool", true)]
    [DataRow("MaxPool", false)]
    public void Nothing_is_cut_of_a_value_whose_mean_is_taken(string pool, bool whole)
    {
        var small = QuantizeTests.ConvChain("Relu");
        var conv = small.Graph.Node[2];
        conv.Input[1] = "w3";
        small.Floats("w3", [8, 8, 1, 1], [.. Enumerable.Range(0, 64).Select(i => i / 64f)]);
        var node = SmallModel.NodeOf(pool, "b", "m");
        if (pool == "MaxPool")
            node.Set("kernel_shape", 1L, 1L);
        small.Graph.Node.Insert(2, node);
        conv.Input[0] = "m";
        // Millions of small values and a single large one: what is least in squares cuts it off.
        var random = new Random(4);
        float[] Values(float scale) => [.. Enumerable.Range(0, 144).Select(_ => scale * random.NextSingle())];
        var data = new ListDataset([.. Enumerable.Range(0, 400).Select(i => ListDataset.Batch("x", [1, 4, 6, 6], Values(i == 0 ? 3 : 0.1f)))]);
        var result = Quantize.Run(small.Model, QuantizeTests.Plan(ActivationMode.Uint8), QuantizeTests.Context(data));
        var quantize = result.Model.Graph.Node.Single(n => n.OpType == "DequantizeLinear" && n.Output[0] == "b");
        var scale = result.Model.ReadFloats(result.Model.Graph.Initializer.Single(t => t.Name == quantize.Input[1])).Single();
        var seen = ModelBuildTasks.Engine.Statistics.StatisticsCollector.Collect(small.Model, ["b"], data)["b"];
        Assert.AreEqual(whole, Math.Abs(scale * 255 - seen.Max) < 0.01 * seen.Max);
    }

    [TestMethod]
    public void A_value_that_is_moved_into_a_body_is_left_in_float()
    {
        // ONNX Runtime ends the process when it loads the quantized form of this.
        var small = QuantizeTests.ConvChain("Relu").Node("Transpose", "b", "t", ("perm", new[] { 0L, 3, 2, 1 }));
        GraphProto Body(string op)
        {
            var body = new GraphProto { Name = op };
            body.Node.Add(SmallModel.NodeOf(op, "t", op + "_out"));
            body.Output.Add(new ValueInfoProto { Name = op + "_out" });
            return body;
        }

        small.Input("c", ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType.Bool, 1)
            .Node("If", "c", "z", ("then_branch", Body("Neg")), ("else_branch", Body("Identity"))).Output("z");
        var data = ListDataset.Random(small.Model, 4);
        var result = Quantize.Run(small.Model, QuantizeTests.Plan(), QuantizeTests.Context(data));
        StringAssert.Contains(result.Decisions.Single(d => d.Name == "Conv_a").Reason, "body");
        Assert.IsGreaterThan(25, QuantizeTests.Sqnr(small.Model, result.Model, data));
    }

    private static SmallModel Branches(string activation)
    {
        var random = new Random(9);
        float[] Values(int count, float scale) => [.. Enumerable.Range(0, count).Select(_ => scale * (random.NextSingle() - 0.5f))];
        return new SmallModel().Input("x", 1, 4, 6, 6)
            .Floats("w1", [8, 4, 3, 3], Values(288, 1)).Floats("w2", [8, 4, 3, 3], Values(288, 4)).Floats("w3", [8, 16, 3, 3], Values(1152, 1))
            .Node("Conv", "x,w1", "a").Node(activation, "a", "b").Node("Conv", "x,w2", "c")
            .Node("Concat", "b,c", "d", ("axis", 1)).Node("Conv", "d,w3", "y").Output("y");
    }

    private static Dictionary<string, int> Quantized(SmallModel small, out double sqnr)
    {
        var data = ListDataset.Random(small.Model, 6);
        var result = Quantize.Run(small.Model, QuantizeTests.Plan(), QuantizeTests.Context(data));
        Assert.IsTrue(result.Decisions.Where(d => d.Op == "Conv").All(d => d.What == "int8 static"), string.Join(" | ", result.Decisions));
        sqnr = QuantizeTests.Sqnr(small.Model, result.Model, data);
        return QuantizeTests.Optimized(result.Model);
    }
}
