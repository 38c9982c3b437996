using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Passes;

[TestClass]
public sealed class ConstantFoldingTests
{
    [TestMethod]
    public void A_chain_of_nodes_with_constant_inputs_becomes_one_weight()
    {
        var small = new SmallModel().Input("x", 2, 4).Output("out").Random("w", 1, 4, 3).Longs("shape", [2], 4, 3)
            .Node("Transpose", ["w"], ["a"], n => n.Set("perm", 1, 0)).Node("Reshape", ["a", "shape"], ["b"]).Node("Neg", ["b"], ["c"]).Node("MatMul", ["x", "c"], ["out"]);

        var result = Outputs.Clean(small.Model);

        Assert.AreEqual("MatMul", result.Model.Graph.Node.Single().OpType);
        Assert.HasCount(1, result.Model.Graph.Initializer);
        CollectionAssert.AreEqual(new[] { "a", "b", "c" }, result.Decisions.Select(d => d.Name).ToArray());
        Assert.AreEqual(0, Outputs.Difference(small.Model, result.Model));
    }

    [TestMethod]
    public void A_constant_that_leaves_the_graph_becomes_a_Constant_node_with_the_output_s_name()
    {
        var small = new SmallModel().Input("x", 2).Output("out").Output("c").Random("w", 1, 2).Node("Neg", ["w"], ["c"]).Node("Add", ["x", "c"], ["out"]);

        var result = Outputs.Clean(small.Model);

        CollectionAssert.AreEqual(new[] { "Constant", "Add" }, result.Model.Graph.Node.Select(n => n.OpType).ToArray());
        Assert.AreEqual(0, Outputs.Difference(small.Model, result.Model));
    }

    [TestMethod]
    public void All_forms_of_Constant_become_weights()
    {
        var small = new SmallModel().Input("x", 2).Output("out");
        AttributeProto Floats(params float[] v)
        {
            var attribute = new AttributeProto { Name = "value_floats", Type = AttributeProto.Types.AttributeType.Floats };
            attribute.Floats.Add(v);
            return attribute;
        }

        small.Node("Constant", [], ["a"], n => n.Set("value_float", 2f)).Node("Constant", [], ["b"], n => n.Attribute.Add(Floats(3, 4)))
            .Node("Constant", [], ["c"], n => n.Set("value", small.Model.CreateTensor("", [2], 5, 6))).Node("Constant", [], ["i"], n => n.Set("value_ints", [2L]))
            .Node("Mul", ["x", "a"], ["d"]).Node("Mul", ["d", "b"], ["e"]).Node("Add", ["e", "c"], ["f"]).Node("Reshape", ["f", "i"], ["out"]);

        var result = Outputs.Clean(small.Model);

        Assert.IsFalse(result.Model.Graph.Node.Any(n => n.OpType == "Constant"));
        Assert.HasCount(4, result.Model.Graph.Initializer);
        Assert.AreEqual(0, Outputs.Difference(small.Model, result.Model));
    }

    [TestMethod]
    [DataRow("ConstantOfShape")]
    [DataRow("Expand")]
    [DataRow("Tile")]
    [DataRow("Range")]
    [DataRow("OneHot")]
    [DataRow("Pad")]
    [DataRow("Outer")]
    public void A_result_of_hostile_size_is_never_computed(string op)
    {
        const long Huge = 1L << 40;
        var small = new SmallModel().Input("x", DataType.Int64).Output("out", DataType.Int64).Longs("one", [1], 1).Longs("huge", [1], Huge).Longs("zero", [], 0)
            .Longs("scalar", [], Huge).Longs("step", [], 1).Longs("values", [2], 0, 1).Longs("pads", [2], 0, Huge).Longs("column", [2000, 1], new long[2000]).Longs("row", [1, 2000], new long[2000]);
        _ = op switch
        {
            "ConstantOfShape" => small.Node(op, ["huge"], ["c"], n => n.Set("value", small.Model.CreateTensor("", 1))),
            "Expand" => small.Node(op, ["one", "huge"], ["c"]),
            "Tile" => small.Node(op, ["one", "huge"], ["c"]),
            "Range" => small.Node(op, ["zero", "scalar", "step"], ["c"]),
            "OneHot" => small.Node(op, ["one", "scalar", "values"], ["c"]),
            "Pad" => small.Node(op, ["one", "pads"], ["c"]),
            _ => small.Node("Add", ["column", "row"], ["c"]),
        };
        small.Node("Add", ["x", "c"], ["out"]);

        var result = Outputs.Clean(small.Model);

        Assert.HasCount(2, result.Model.Graph.Node);
        Assert.AreEqual("left", result.Decisions.Single().What);
    }

    [TestMethod]
    public void Sizes_beyond_64_bits_are_left()
    {
        var small = new SmallModel().Input("x").Output("out").Longs("s", [3], long.MaxValue, long.MaxValue, 4).Node("ConstantOfShape", ["s"], ["c"]).Node("Add", ["x", "c"], ["out"]);

        StringAssert.Contains(Outputs.Clean(small.Model).Decisions.Single().Reason, "larger than any memory");
    }

    [TestMethod]
    public void Doubling_again_and_again_ends_at_the_limit()
    {
        var small = new SmallModel().Input("x").Output("out").Random("v0", 1, 1024);
        for (var i = 0; i < 50; i++)
            small.Node("Concat", [$"v{i}", $"v{i}"], [$"v{i + 1}"], n => n.Set("axis", 0));
        small.Node("Add", ["x", "v50"], ["out"]);

        var result = Outputs.Clean(small.Model);

        Assert.IsLessThan(2 << 20, result.Model.ToBytes().Length);
    }

    [TestMethod]
    [DataRow(0)]
    [DataRow(-1)]
    public void Integer_division_that_could_end_the_process_is_left(long divisor)
    {
        var small = new SmallModel().Input("x", DataType.Int64, 1).Output("out", DataType.Int64).Longs("a", [1], long.MinValue).Longs("b", [1], divisor)
            .Node("Div", ["a", "b"], ["c"]).Node("Add", ["x", "c"], ["out"]);

        Assert.HasCount(2, Outputs.Clean(small.Model).Model.Graph.Node);
    }

    [TestMethod]
    public void What_ONNX_Runtime_cannot_compute_is_left_and_the_rest_is_folded()
    {
        var small = new SmallModel().Input("x", 2).Output("out").Output("bad").Random("w", 1, 2).Longs("index", [1], 7)
            .Node("Gather", ["w", "index"], ["bad"]).Node("Neg", ["w"], ["c"]).Node("Add", ["x", "c"], ["out"]);

        var result = Outputs.Clean(small.Model);

        CollectionAssert.AreEqual(new[] { "Gather", "Add" }, result.Model.Graph.Node.Select(n => n.OpType).ToArray());
        Assert.AreEqual("left", result.Decisions.Single(d => d.Op == "Gather").What);
    }

    [TestMethod]
    public void A_weight_stored_in_8_or_16_bits_is_not_widened()
    {
        var small = new SmallModel().Input("x", 2, 64).Output("out").Output("out2").Floats("scale", [], 0.1f)
            .Node("DequantizeLinear", ["q", "scale"], ["w"]).Node("MatMul", ["x", "w"], ["out"])
            .Node("Cast", ["h"], ["v"], n => n.Set("to", (long)DataType.Float)).Node("MatMul", ["x", "v"], ["out2"]);
        small.Graph.Initializer.Add(small.Model.CreateTensor("q", DataType.Int8, [64, 64], new ReadOnlyMemory<byte>(new byte[64 * 64])));
        small.Graph.Initializer.Add(small.Model.CreateTensor<Half>("h", DataType.Float16, [64, 64], new Half[64 * 64]));

        var result = Outputs.Clean(small.Model);

        CollectionAssert.AreEqual(new[] { "DequantizeLinear", "MatMul", "Cast", "MatMul" }, result.Model.Graph.Node.Select(n => n.OpType).ToArray());
    }

    [TestMethod]
    public void Random_numbers_are_not_folded()
    {
        var small = new SmallModel().Input("x", 2).Output("out").Random("w", 1, 2).Node("RandomNormalLike", ["w"], ["c"]).Node("Add", ["x", "c"], ["out"]);

        Assert.HasCount(2, Outputs.Clean(small.Model).Model.Graph.Node);
    }

    [TestMethod]
    public void A_copy_of_a_table_that_stays_is_folded_only_as_a_weight()
    {
        SmallModel Tied(string op) => new SmallModel().Input("ids", DataType.Int64, 3).Output("out").Random("table", 1, 256, 64)
            .Node("Gather", ["table", "ids"], ["rows"]).Node("Transpose", ["table"], ["t"], n => n.Set("perm", 1, 0)).Node(op, op == "MatMul" ? ["rows", "t"] : ["t", "one"], ["head"])
            .Floats("one", [1, 256], SmallModel.Values(3, 256)).Node("ReduceSum", ["head"], ["sum"]).Node("Add", ["rows", "sum"], ["out"]);

        var weight = Outputs.Clean(Tied("MatMul").Model);
        Assert.IsFalse(weight.Model.Graph.Node.Any(n => n.OpType == "Transpose"));

        // Into a product of constants and its sum, the table comes down to one number.
        var number = Outputs.Clean(Tied("Mul").Model);
        CollectionAssert.AreEqual(new[] { "Gather", "Add" }, number.Model.Graph.Node.Select(n => n.OpType).ToArray());

        var copy = Tied("Mul");
        copy.Output("t");
        var kept = Outputs.Clean(copy.Model);
        Assert.IsTrue(kept.Model.Graph.Node.Any(n => n.OpType == "Transpose"), "a copy of 64 KiB was stored");
    }

    [TestMethod]
    [DataRow("LSTM", 64)]
    [DataRow("GRU", 48)]
    public void A_reordered_weight_of_a_recurrent_operator_is_stored_in_order_beside_the_table_it_comes_from(string op, int gates)
    {
        var small = new SmallModel().Input("x", 5, 1, 128).Input("ids", DataType.Int64, 2).Output("h", "rows").Random("table", 1, 1, 128, gates).Random("r", 2, 1, gates, 16)
            .Node("Gather", ["table", "ids"], ["rows"], n => n.Set("axis", 1)).Node("Transpose", ["table"], ["w"], n => n.Set("perm", 0, 2, 1))
            .Node(op, ["x", "w", "r"], ["h"], n => n.Set("hidden_size", 16L));

        var result = Outputs.Clean(small.Model);

        CollectionAssert.AreEqual(new[] { "Gather", op }, result.Model.Graph.Node.Select(n => n.OpType).ToArray());
        Assert.AreEqual(0, Outputs.Difference(small.Model, result.Model));
    }
}
