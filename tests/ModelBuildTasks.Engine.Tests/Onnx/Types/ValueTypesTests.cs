using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Onnx.Types;

[TestClass]
public sealed class ValueTypesTests
{
    [TestMethod]
    [DynamicData(nameof(RealModels.Rows), typeof(RealModels))]
    public void Inference_agrees_with_a_run_on_the_type_of_every_value_and_on_every_dimension_it_knows(string file)
    {
        using var model = OnnxModel.Load(RealModels.Path(file));
        var inferred = ValueTypes.Infer(model);
        var observed = ValueTypes.Observe(model, RandomInputs.For(model));

        var values = model.Graph.Node.SelectMany(n => n.Output).Where(o => o.Length > 0).ToList();
        var ranked = 0;
        foreach (var name in values.Where(observed.ContainsKey))
        {
            Assert.IsTrue(inferred.ContainsKey(name), $"nothing inferred for {name}");
            Assert.AreEqual(observed[name].Type, inferred[name].Type, name);
            if (inferred[name].Shape is not { } shape)
                continue;
            ranked++;
            Assert.HasCount(shape.Length, observed[name].Shape!, name);
            for (var i = 0; i < shape.Length; i++)
                Assert.IsTrue(shape[i] == -1 || shape[i] == observed[name].Shape![i], $"{name}: axis {i}");
        }

        Assert.IsGreaterThanOrEqualTo(values.Count * 0.8, (double)ranked);
    }

    [TestMethod]
    public void Free_dimensions_are_minus_one_and_weights_have_their_static_shape()
    {
        using var model = OnnxModel.Load(TestData.Path("iris/iris_network.onnx"));
        var types = ValueTypes.Infer(model);

        CollectionAssert.AreEqual(new long[] { -1, 4 }, types["input"].Shape);
        var weight = model.Graph.Initializer.First(i => i.Dims.Count == 2);
        CollectionAssert.AreEqual(weight.Dims.ToArray(), types[weight.Name].Shape);
        Assert.AreEqual(DataType.Float, types[weight.Name].Type);
    }

    [TestMethod]
    public void A_scalar_has_an_empty_shape_and_a_value_of_unknown_rank_has_none()
    {
        using var model = new SmallModel(11)
            .Input("x", 2, 3)
            .Input("shape", DataType.Int64, -1)
            .Node("ReduceSum", "x", "scalar", ("keepdims", 0))
            .Node("Reshape", "x,shape", "unranked")
            .Output("scalar", "unranked")
            .Model;
        var types = ValueTypes.Infer(model);

        CollectionAssert.AreEqual(Array.Empty<long>(), types["scalar"].Shape);
        Assert.AreEqual(DataType.Float, types["unranked"].Type);
        Assert.IsNull(types["unranked"].Shape);
    }

    [TestMethod]
    public void Element_types_without_a_counterpart_in_C_sharp_are_told_too()
    {
        using var model = new SmallModel(21, ir: 10)
            .Input("x", 2, 4)
            .Node("Cast", "x", "brain", ("to", (int)DataType.Bfloat16))
            .Node("Cast", "x", "eight", ("to", (int)DataType.Float8E4M3Fn))
            .Node("Cast", "x", "four", ("to", (int)DataType.Int4))
            .Node("Cast", "brain", "y", ("to", (int)DataType.Float))
            .Output("y")
            .Model;
        var types = ValueTypes.Infer(model);

        Assert.AreEqual(DataType.Bfloat16, types["brain"].Type);
        Assert.AreEqual(DataType.Float8E4M3Fn, types["eight"].Type);
        Assert.AreEqual(DataType.Int4, types["four"].Type);
    }

    [TestMethod]
    public void Values_in_bodies_have_types_and_a_name_with_two_meanings_has_none()
    {
        using var model = new SmallModel(13)
            .Input("x", 2, 3)
            .Input("c", DataType.Bool)
            .Node("If", "c", "y", ("then_branch", Body("only", "twice", "t")), ("else_branch", Body("twice", "other", "e")))
            .Output("y")
            .Model;
        var types = ValueTypes.Infer(model);

        CollectionAssert.AreEqual(new long[] { 2, 3 }, types["only"].Shape);
        CollectionAssert.AreEqual(new long[] { 2, 3 }, types["other"].Shape);
        Assert.IsFalse(types.ContainsKey("twice"));

        static GraphProto Body(string first, string second, string output)
        {
            var body = new GraphProto { Name = output };
            body.Node.Add(SmallModel.NodeOf("Relu", "x", first));
            body.Node.Add(SmallModel.NodeOf("Neg", first, second));
            body.Node.Add(SmallModel.NodeOf("Abs", second, output));
            body.Output.Add(new ValueInfoProto { Name = output });
            return body;
        }
    }

    [TestMethod]
    public void Types_of_a_model_without_operators_of_the_default_domain_are_known()
    {
        using var model = new SmallModel(1).Input("x", 2, 3).Node("Gelu", "x", "g").Node("Gelu", "g", "y").Output("y").Model;
        model.Proto.OpsetImport[0].Domain = model.Graph.Node[0].Domain = model.Graph.Node[1].Domain = "com.microsoft";

        CollectionAssert.AreEqual(new long[] { 2, 3 }, ValueTypes.Infer(model)["g"].Shape);
    }

    [TestMethod]
    public void A_model_that_ONNX_Runtime_refuses_is_described_by_what_it_says_itself()
    {
        using var model = OnnxModel.Load(TestData.Path("iris/iris_network.onnx")).Clone();
        model.Graph.Node[0].OpType = "NoSuchOperator";
        var types = ValueTypes.Infer(model);

        Assert.IsTrue(types.ContainsKey("input"));
        Assert.IsTrue(types.ContainsKey(model.Graph.Initializer[0].Name));
        Assert.IsFalse(types.ContainsKey(model.Graph.Node[0].Output[0]));
    }
}
