using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Passes.Quantization;

[TestClass]
public sealed class WeightsRewriteTests
{
    [TestMethod]
    [DataRow(QuantizedForm.Weights, DataType.Int8)]
    [DataRow(QuantizedForm.Half, DataType.Float16)]
    public void What_the_branches_of_an_If_share_is_stored_once_in_the_main_graph(QuantizedForm form, DataType stored)
    {
        var small = new SmallModel().Input("x", 4, 24).Input("c", DataType.Bool, 1).Random("w", 1, 24, 24)
            .Node("If", "c", "y", ("then_branch", Branch("Relu")), ("else_branch", Branch("Sigmoid"))).Output("y");
        RulePlan[] rules = [new(default, [], null, true) { Form = form }];
        var result = Quantize.Run(small.Model, QuantizeTests.Plan(), QuantizeTests.Context() with { Rules = rules });
        Assert.AreEqual(2, result.Decisions.Count(d => d.What.EndsWith("weights", StringComparison.Ordinal)), result.Summary);
        var graphs = result.Model.Graph.WithBodies().ToList();
        Assert.HasCount(3, graphs);
        Assert.AreEqual(1, result.Model.Graph.Initializer.Count(i => (DataType)i.DataType == stored));
        Assert.IsFalse(result.Model.Graph.Initializer.Any(i => i.Name == "w"));
        foreach (var body in graphs.Skip(1))
        {
            Assert.IsEmpty(body.Initializer);
            CollectionAssert.AreEqual(new[] { "MatMul", body.Node[^1].OpType }, body.Node.Select(n => n.OpType).ToArray());
        }

        Assert.IsGreaterThan(35, QuantizeTests.Sqnr(small.Model, result.Model, ListDataset.Random(small.Model, 6)));
    }

    [TestMethod]
    public void Dynamic_products_run_in_the_branches_of_an_If_with_their_weight_stored_once()
    {
        var small = new SmallModel().Input("x", 4, 64).Input("c", DataType.Bool, 1).Random("w", 1, 64, 64)
            .Node("If", "c", "y", ("then_branch", Branch("Relu")), ("else_branch", Branch("Sigmoid"))).Output("y");
        var result = Quantize.Run(small.Model, QuantizeTests.Plan(ActivationMode.Dynamic), QuantizeTests.Context());
        Assert.AreEqual(2, result.Decisions.Count(d => d.What == "int8 dynamic"), result.Summary);
        Assert.AreEqual(1, result.Model.Graph.Initializer.Count(i => (DataType)i.DataType == DataType.Int8 && i.Dims.Count == 2));
        foreach (var body in result.Model.Graph.WithBodies().Skip(1))
        {
            Assert.IsEmpty(body.Initializer);
            Assert.AreEqual(1, body.Node.Count(n => n.OpType == "MatMulInteger"));
        }

        Assert.IsGreaterThan(30, QuantizeTests.Sqnr(small.Model, result.Model, ListDataset.Random(small.Model, 6)));
        // The search does not know what a branch costs: there a rule has to ask.
        var searched = Quantize.Run(small.Model, QuantizeTests.Plan(), QuantizeTests.Context(ListDataset.Random(small.Model, 4)));
        Assert.IsTrue(searched.Decisions.All(d => d.What == "int8 weights"), searched.Summary);
        RulePlan[] rules = [new(default, [], null, true) { Form = QuantizedForm.Dynamic }];
        var ruled = Quantize.Run(small.Model, QuantizeTests.Plan(), QuantizeTests.Context(ListDataset.Random(small.Model, 4)) with { Rules = rules });
        Assert.AreEqual(2, ruled.Decisions.Count(d => d.What == "int8 dynamic"), ruled.Summary);
    }

    [TestMethod]
    public void A_float16_model_has_no_float16_arithmetic_left_for_its_weights_when_it_is_loaded()
    {
        var small = new SmallModel().Input("x", DataType.Float16, 4, 64).Node("MatMul", "x,w", "y").Output("y");
        small.Graph.Initializer.Add(small.Model.CreateTensor<Half>("w", DataType.Float16, [64, 32], [.. SmallModel.Values(3, 64 * 32).Select(v => (Half)v)]));
        var result = Quantize.Run(small.Model, QuantizeTests.Plan(ActivationMode.None), QuantizeTests.Context());
        Assert.AreEqual("int8 weights", result.Decisions.Single().What);
        Assert.AreEqual(DataType.Int8, (DataType)result.Model.Graph.Initializer.Single(i => i.Dims.SequenceEqual([64L, 32])).DataType);
        var kernels = QuantizeTests.Optimized(result.Model);
        Assert.AreEqual(1, kernels.GetValueOrDefault("MatMul"));
        Assert.AreEqual(0, kernels.GetValueOrDefault("Mul"));
        // What casts are there are those of the float model: of its input, its output and its weight.
        Assert.IsLessThanOrEqualTo(QuantizeTests.Optimized(small.Model).GetValueOrDefault("Cast"), kernels.GetValueOrDefault("Cast"));
    }

    private static GraphProto Branch(string op)
    {
        var body = new GraphProto { Name = op };
        body.Node.Add(SmallModel.NodeOf("MatMul", "x,w", $"m_{op}"));
        body.Node.Add(SmallModel.NodeOf(op, $"m_{op}", $"y_{op}"));
        body.Output.Add(SmallModel.Value($"y_{op}", DataType.Float, 4, 24));
        return body;
    }
}
