using CsCheck;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Passes;

[TestClass]
public sealed class BatchNormalizationTests
{
    private static readonly Gen<Layer> _layers =
        from groups in Gen.Int[1, 3]
        from inPerGroup in Gen.Int[1, 3]
        from outPerGroup in Gen.Int[1, 3]
        from kernel in Gen.Int[1, 3]
        from stride in Gen.Int[1, 2]
        from transposed in Gen.Bool
        from bias in Gen.Bool
        from axes in Gen.Int[1, 2]
        from seed in Gen.Int[0, 1000]
        select new Layer(groups, inPerGroup, outPerGroup, kernel, stride, transposed, bias, axes, seed);

    [TestMethod]
    public void Folding_into_any_convolution_keeps_the_outputs() => _layers.Sample(
        layer =>
        {
            var small = Convolution(layer);
            Normalization(small, "y", "out", layer.Channels, layer.Seed);

            var result = Outputs.Clean(small.Model);

            Assert.HasCount(1, result.Model.Graph.Node);
            Assert.AreEqual("out", result.Model.Graph.Node[0].Output[0]);
            Assert.IsLessThan(1e-4, Outputs.Difference(small.Model, result.Model, Inputs(layer)));
        },
        iter: 150);

    [TestMethod]
    public void A_normalization_taken_apart_into_products_and_sums_is_folded_into_any_convolution() => _layers.Sample(
        layer =>
        {
            var small = Convolution(layer);
            long[] shape = [layer.Channels, .. Enumerable.Repeat(1L, layer.Axes)];
            small.Random("mean", layer.Seed + 5, shape).Random("factor", layer.Seed + 6, shape).Floats("half", [], 0.5f).Random("beta", layer.Seed + 7, shape)
                .Node("Sub", ["y", "mean"], ["p"]).Node("Mul", ["factor", "p"], ["q"]).Node("Div", ["q", "half"], ["r"]).Node("Add", ["r", "beta"], ["out"]);

            var result = Outputs.Clean(small.Model);

            Assert.HasCount(1, result.Model.Graph.Node);
            Assert.IsLessThan(1e-4, Outputs.Difference(small.Model, result.Model, Inputs(layer)));
        },
        iter: 60);

    [TestMethod]
    public void Folding_into_any_Gemm_keeps_the_outputs() => Gen.Select(Gen.Int[1, 5], Gen.Int[1, 5], Gen.Bool, Gen.Int[0, 4]).Sample(
        (inputs, outputs, transposed, bias) =>
        {
            var small = new SmallModel().Input("x", 3, inputs).Random("w", 1, transposed ? [outputs, inputs] : [inputs, outputs]).Output("out");
            long[][] shapes = [[], [1], [outputs], [1, outputs]];
            if (bias > 0)
                small.Random("c", 2, shapes[bias - 1]);
            small.Node("Gemm", bias > 0 ? ["x", "w", "c"] : ["x", "w"], ["y"], n => n.Set("transB", transposed ? 1 : 0).Set("alpha", 0.5f).Set("beta", 2f));
            Normalization(small, "y", "out", outputs, 7);

            var result = Outputs.Clean(small.Model);

            Assert.HasCount(1, result.Model.Graph.Node);
            Assert.IsLessThan(1e-4, Outputs.Difference(small.Model, result.Model));
        },
        iter: 60);

    [TestMethod]
    public void Behind_a_MatMul_of_two_dimensions_only_an_addition_is_left()
    {
        var small = new SmallModel().Input("x", 2, 3).Random("w", 1, 3, 4).Output("out").Node("MatMul", ["x", "w"], ["y"]);
        Normalization(small, "y", "out", 4, 3);

        var result = Outputs.Clean(small.Model);

        CollectionAssert.AreEqual(new[] { "MatMul", "Add" }, result.Model.Graph.Node.Select(n => n.OpType).ToArray());
        Assert.IsLessThan(1e-4, Outputs.Difference(small.Model, result.Model));
    }

    [TestMethod]
    public void Behind_a_MatMul_of_three_dimensions_channels_are_not_columns_and_nothing_is_folded()
    {
        var small = new SmallModel().Input("x", 2, 4, 3).Random("w", 1, 3, 4).Output("out").Node("MatMul", ["x", "w"], ["y"]);
        Normalization(small, "y", "out", 4, 3);

        var result = Outputs.Clean(small.Model);

        AssertLeft(result, "two dimensions");
        Assert.AreEqual(0, Outputs.Difference(small.Model, result.Model));
    }

    [TestMethod]
    public void A_weight_that_two_convolutions_share_is_copied_for_the_one_with_a_normalization()
    {
        var small = new SmallModel().Input("x", 1, 2, 5, 5).Random("w", 1, 2, 2, 3, 3).Output("out").Output("other")
            .Node("Conv", ["x", "w"], ["y"]).Node("Conv", ["x", "w"], ["other"]);
        Normalization(small, "y", "out", 2, 3);

        var result = Outputs.Clean(small.Model);

        Assert.HasCount(2, result.Model.Graph.Node);
        Assert.AreNotEqual(result.Model.Graph.Node[0].Input[1], result.Model.Graph.Node[1].Input[1]);
        Assert.IsLessThan(1e-4, Outputs.Difference(small.Model, result.Model));
    }

    [TestMethod]
    public void Parameters_may_come_through_Identity()
    {
        var small = new SmallModel().Input("x", 1, 2, 5, 5).Random("w", 1, 2, 2, 3, 3).Output("out").Output("scale2").Node("Conv", ["x", "w"], ["y"]);
        Normalization(small, "y", "out", 2, 3);
        small.Graph.Node.Insert(0, GraphExtensions.Node("Identity", ["scale"], ["scale2"]));
        small.Graph.Node[^1].Input[1] = "scale2";

        var result = Outputs.Clean(small.Model);

        Assert.IsFalse(result.Model.Graph.Node.Any(n => n.OpType == "BatchNormalization"));
        Assert.IsLessThan(1e-4, Outputs.Difference(small.Model, result.Model));
    }

    [TestMethod]
    public void A_normalization_in_a_body_is_folded_with_weights_of_the_graph_around_it()
    {
        var small = new SmallModel().Input("x", 1, 2, 5, 5).Input("flag", DataType.Bool).Random("w", 1, 2, 2, 3, 3).Output("out");
        var body = new SmallModel().Node("Conv", ["x", "w"], ["y"]).Output("then");
        Normalization(body, "y", "then", 2, 3);
        foreach (var tensor in body.Graph.Initializer)
            small.Graph.Initializer.Add(small.Model.CreateTensor(tensor.Name, tensor.Dims, body.Model.ReadFloats(tensor)));
        body.Graph.Initializer.Clear();
        var other = new SmallModel().Node("Conv", ["x", "w"], ["else"]).Output("else");
        small.Node("If", ["flag"], ["out"], n => AddBodies(n, body.Graph, other.Graph));

        var result = Outputs.Clean(small.Model);

        Assert.AreEqual(1, result.Decisions.Count(d => d is { Op: "BatchNormalization", What: "folded" }));
        foreach (var flag in new byte[] { 0, 1 })
        {
            var inputs = new Dictionary<string, Tensor> { ["x"] = SmallModel.Tensor(4, 1, 2, 5, 5), ["flag"] = new(DataType.Bool, [], [flag]) };
            Assert.IsLessThan(1e-4, Outputs.Difference(small.Model, result.Model, inputs));
        }
    }

    [TestMethod]
    public void What_cannot_be_folded_is_left_with_a_reason()
    {
        AssertLeft(Outputs.Clean(Simple(s => s.Output("y")).Model), "others read");
        AssertLeft(Outputs.Clean(Simple(s => s.Graph.Node[1].OpType = "Relu", "Relu").Model), "comes before it");
        AssertLeft(Outputs.Clean(Simple(s => s.Graph.Node[^1].Set("training_mode", 1)).Model), "training");
        AssertLeft(Outputs.Clean(Simple(s => Move(s, "mean", [2])).Model), "not constant");
        AssertLeft(Outputs.Clean(Simple(s => Move(s, "w", [2, 2, 3, 3])).Model), "weight is not constant");
    }

    [TestMethod]
    public void A_folded_weight_that_a_half_cannot_hold_is_left()
    {
        var small = new SmallModel().Input("x", DataType.Float16, 1, 1, 2, 2).Output("out", DataType.Float16).Node("Conv", ["x", "w"], ["y"]);
        void Half(string name, long[] dims, float value) =>
            small.Graph.Initializer.Add(small.Model.CreateTensor<Half>(name, DataType.Float16, dims, [(Half)value]));
        Half("w", [1, 1, 1, 1], 60000);
        foreach (var (name, value) in new[] { ("scale", 4f), ("beta", 0), ("mean", 0), ("var", 1) })
            Half(name, [1], value);
        small.Node("BatchNormalization", ["y", "scale", "beta", "mean", "var"], ["out"]);

        AssertLeft(Outputs.Clean(small.Model), "does not fit into float16");
    }

    private static void Move(SmallModel small, string name, long[] shape)
    {
        small.Graph.Initializer.Remove(small.Graph.Initializer.First(t => t.Name == name));
        small.Input(name, shape);
    }

    private static SmallModel Simple(Action<SmallModel> change, string between = "Identity")
    {
        var small = new SmallModel().Input("x", 1, 2, 5, 5).Random("w", 1, 2, 2, 3, 3).Output("out").Node("Conv", ["x", "w"], ["c"]).Node(between, ["c"], ["y"]);
        Normalization(small, "y", "out", 2, 3);
        change(small);
        return small;
    }

    private static void AssertLeft(Engine.Passes.PassResult result, string reason)
    {
        var decision = result.Decisions.Single(d => d.Op == "BatchNormalization");
        Assert.AreEqual("left", decision.What);
        StringAssert.Contains(decision.Reason, reason);
        Assert.IsTrue(result.Model.Graph.Node.Any(n => n.OpType == "BatchNormalization"));
    }

    private static void AddBodies(NodeProto node, GraphProto then, GraphProto otherwise)
    {
        node.Attribute.Add(new AttributeProto { Name = "then_branch", G = then, Type = AttributeProto.Types.AttributeType.Graph });
        node.Attribute.Add(new AttributeProto { Name = "else_branch", G = otherwise, Type = AttributeProto.Types.AttributeType.Graph });
    }

    private static SmallModel Convolution(Layer layer)
    {
        long[] kernel = [.. Enumerable.Repeat((long)layer.Kernel, layer.Axes)];
        long[] weight = layer.Transposed
            ? [layer.Groups * layer.InPerGroup, layer.OutPerGroup, .. kernel]
            : [layer.Channels, layer.InPerGroup, .. kernel];
        var small = new SmallModel().Input("x", Shape(layer)).Random("w", layer.Seed + 1, weight).Output("out");
        if (layer.Bias)
            small.Random("b", layer.Seed + 2, layer.Channels);
        return small.Node(layer.Transposed ? "ConvTranspose" : "Conv", layer.Bias ? ["x", "w", "b"] : ["x", "w"], ["y"],
            n => n.Set("group", layer.Groups).Set("strides", [.. Enumerable.Repeat((long)layer.Stride, layer.Axes)]));
    }

    private static void Normalization(SmallModel small, string input, string output, int channels, int seed) => small
        .Random("scale", seed + 11, channels).Random("beta", seed + 12, channels).Random("mean", seed + 13, channels)
        .Floats("var", [channels], [.. SmallModel.Values(seed + 14, channels).Select(v => Math.Abs(v) + 0.01f)])
        .Node("BatchNormalization", [input, "scale", "beta", "mean", "var"], [output], n => n.Set("epsilon", 1e-3f));

    private static long[] Shape(Layer layer) => [2, layer.Groups * layer.InPerGroup, .. Enumerable.Repeat(5L, layer.Axes)];

    private static Dictionary<string, Tensor> Inputs(Layer layer) => new() { ["x"] = SmallModel.Tensor(layer.Seed, Shape(layer)) };

    private sealed record Layer(int Groups, int InPerGroup, int OutPerGroup, int Kernel, int Stride, bool Transposed, bool Bias, int Axes, int Seed)
    {
        public int Channels => Groups * OutPerGroup;
    }
}
