using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Passes.Quantization;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Passes.Quantization;

[TestClass]
public sealed class WideArithmeticTests
{
    [TestMethod]
    public void A_float16_model_computes_in_float32_between_its_inputs_and_outputs_also_in_bodies()
    {
        var small = Model();
        using var wide = WideArithmetic.Apply(small.Model)!;
        Assert.IsNotNull(wide);
        Assert.AreEqual(DataType.Float16, wide.Inputs[0].Type);
        Assert.AreEqual(DataType.Float16, wide.Outputs[0].Type);
        var halves = wide.Graph.WithBodies().SelectMany(g => g.Initializer).Concat(wide.Graph.WithBodies().SelectMany(g => g.Node).SelectMany(n => n.Attribute).Select(a => a.T).OfType<TensorProto>())
            .Count(t => (DataType)t.DataType == DataType.Float16);
        Assert.AreEqual(0, halves);
        Assert.AreEqual(1, wide.Graph.WithBodies().SelectMany(g => g.Node).Count(n => n.OpType == "Cast" && n.Int("to") == (long)DataType.Float16));
        Assert.IsGreaterThan(55, QuantizeTests.Sqnr(small.Model, wide, ListDataset.Random(small.Model, 4)));
    }

    [TestMethod]
    public void A_float32_model_and_one_of_foreign_operators_stay_what_they_are()
    {
        Assert.IsNull(WideArithmetic.Apply(new SmallModel().Input("x", 2).Node("Relu", "x", "y").Output("y").Model));
        var small = Model();
        small.Graph.Node[0].Domain = "my.company";
        Assert.IsNull(WideArithmetic.Apply(small.Model));
    }

    [TestMethod]
    public void A_float16_convolution_gets_integer_arithmetic_where_the_runtime_has_no_float16_kernels_and_what_is_left_stays_half_as_large()
    {
        var small = new SmallModel().Input("x", DataType.Float16, 1, 32, 16, 16)
            .Node("Conv", "x,w", "c", ("pads", new long[] { 1, 1, 1, 1 })).Node("Relu", "c", "r").Node("Add", "r,k", "y").Output("y");
        Add(small, "w", [32, 32, 3, 3], 0.1f);
        Add(small, "k", [32, 16, 16], 1);
        var data = ListDataset.Random(small.Model, 4);
        var plan = QuantizeTests.Plan(ActivationMode.Uint8);
        var result = Quantize.Run(small.Model, plan, QuantizeTests.Context(data) with { Rules = [new(default, ["Add"], null, false)] });
        Assert.AreEqual("int8 static", result.Decisions.Single(d => d.Op == "Conv").What);
        Assert.AreEqual(1, QuantizeTests.Optimized(result.Model).GetValueOrDefault("QLinearConv"));
        Assert.IsLessThan(small.Model.ToBytes().Length, result.Model.ToBytes().Length);
        Assert.IsFalse(result.Model.Graph.Initializer.Any(t => (DataType)t.DataType == DataType.Float && ElementTypes.Count(t.Dims) > 100));
        Assert.IsGreaterThan(25, QuantizeTests.Sqnr(small.Model, result.Model, data));
        // A runtime that computes in float16 keeps it.
        var native = Quantize.Run(small.Model, plan, QuantizeTests.Context(data, "openvino"));
        StringAssert.Contains(native.Decisions.Single(d => d.Op == "Conv").Reason, "float16 arithmetic");
    }

    // y = If(mean(x·w) > 0) { x·w + k } else { x·w · 2 } with a constant of each kind, all of it float16.
    private static SmallModel Model()
    {
        var small = new SmallModel().Input("x", DataType.Float16, 4, 16).Node("MatMul", "x,w", "m").Node("ReduceMean", "m", "mean", ("keepdims", 0))
            .Node("Cast", "mean", "f", ("to", (long)DataType.Float)).Node("Cast", "f", "h", ("to", (long)DataType.Float16));
        Add(small, "w", [16, 16], 0.5f);
        Add(small, "zero", [], 0);
        small.Node("Greater", "h,zero", "positive").Node("If", "positive", "y").Output("y");
        var branch = small.Graph.Node[^1];
        var then = new GraphProto { Name = "then" };
        then.Node.Add(SmallModel.NodeOf("ConstantOfShape", "shape", "k").Set("value", small.Model.CreateTensor<Half>("", DataType.Float16, [1], [(Half)3])));
        then.Node.Add(SmallModel.NodeOf("Add", "m,k", "then_y"));
        then.Output.Add(SmallModel.Value("then_y", DataType.Float16, 4, 16));
        then.Initializer.Add(small.Model.CreateTensor("shape", 1L));
        var other = new GraphProto { Name = "else" };
        other.Initializer.Add(small.Model.CreateTensor<Half>("two", DataType.Float16, [1], [(Half)2]));
        other.Node.Add(SmallModel.NodeOf("Mul", "m,two", "else_y"));
        other.Output.Add(SmallModel.Value("else_y", DataType.Float16, 4, 16));
        branch.Attribute.Add(new AttributeProto { Name = "then_branch", G = then, Type = AttributeProto.Types.AttributeType.Graph });
        branch.Attribute.Add(new AttributeProto { Name = "else_branch", G = other, Type = AttributeProto.Types.AttributeType.Graph });
        small.Graph.Output[0].Type = SmallModel.Value("y", DataType.Float16, 4, 16).Type;
        return small;
    }

    private static void Add(SmallModel small, string name, long[] dims, float scale) =>
        small.Graph.Initializer.Add(small.Model.CreateTensor<Half>(name, DataType.Float16, dims, [.. SmallModel.Values(3, (int)ElementTypes.Count(dims)).Select(v => (Half)(v * scale))]));
}
