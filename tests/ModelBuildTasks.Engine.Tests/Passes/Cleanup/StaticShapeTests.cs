using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Passes;

[TestClass]
public sealed class StaticShapeTests
{
    [TestMethod]
    public void Shape_arithmetic_on_known_shapes_disappears()
    {
        var small = Flatten(new SmallModel().Input("x", 2, 3, 8, 8), "x").Output("out");

        var result = Outputs.Clean(small.Model);

        CollectionAssert.AreEqual(new[] { "Conv", "Reshape" }, Operators(result.Model));
        Assert.AreEqual(0, Outputs.Difference(small.Model, result.Model));
        StringAssert.Contains(result.Decisions.First(d => d.Op == "Shape").Reason, "known");
    }

    [TestMethod]
    public void Known_dimensions_beside_a_free_one_are_folded_and_the_free_one_is_not()
    {
        var small = Flatten(new SmallModel().Input("x", -1, 3, 8, 8), "x").Output("out");

        var result = Outputs.Clean(small.Model);

        CollectionAssert.AreEqual(new[] { "Conv", "Shape", "Gather", "Unsqueeze", "Concat", "Reshape" }, Operators(result.Model));
        foreach (var batch in new[] { 1, 3 })
            Assert.AreEqual(0, Outputs.Difference(small.Model, result.Model, new Dictionary<string, Tensor> { ["x"] = SmallModel.Tensor(1, batch, 3, 8, 8) }));
    }

    [TestMethod]
    public void What_a_file_says_of_intermediate_values_and_outputs_is_not_believed()
    {
        var small = new SmallModel().Input("x", -1, 3).Node("Relu", "x", "y").Node("Shape", "y", "a").Node("Shape", "z", "b").Node("Neg", "x", "z").Output("a", "b");
        small.Graph.Node.Add(small.Graph.Node[2].Clone());
        small.Graph.Node.RemoveAt(2);
        small.Graph.ValueInfo.Add(SmallModel.Value("y", DataType.Float, 1, 3));
        small.Graph.Output.Add(SmallModel.Value("z", DataType.Float, 1, 3));

        var result = Outputs.Clean(small.Model);

        Assert.HasCount(2, Operators(result.Model).Where(o => o == "Shape").ToList());
    }

    [TestMethod]
    [DataRow(1, 3, new long[] { 5, 7 })]
    [DataRow(-2, 99, new long[] { 7, 9 })]
    [DataRow(0, -3, new long[] { 2 })]
    [DataRow(3, 1, new long[] { })]
    public void A_part_of_a_shape_that_is_an_output_becomes_a_constant(int start, int end, long[] expected)
    {
        var small = new SmallModel().Input("x", 2, 5, 7, 9).Node("Relu", "x", "y").Node("Shape", "y", "s", ("start", start), ("end", end)).Output("y", "s");

        var result = Outputs.Clean(small.Model);

        var constant = result.Model.Graph.Node.Single(n => n.OpType == "Constant");
        CollectionAssert.AreEqual(expected, result.Model.ReadInt64s(constant.Attribute("value")!.T));
        Assert.AreEqual(0, Outputs.Difference(small.Model, result.Model));
    }

    [TestMethod]
    public void Shapes_of_one_name_in_two_bodies_are_not_taken_for_each_other()
    {
        var small = new SmallModel().Input("c", DataType.Bool).Input("x", 2, 6).Ints("three", 3, 4).Ints("four", 4, 3);
        GraphProto Body(string shape)
        {
            var body = new GraphProto { Name = shape };
            body.Node.Add(SmallModel.NodeOf("Reshape", $"x,{shape}", "r"));
            body.Node.Add(SmallModel.NodeOf("Shape", "r", "s"));
            body.Node.Add(SmallModel.NodeOf("Shape", "x", "t"));
            body.Node.Add(SmallModel.NodeOf("Add", "s,t", $"out_{shape}"));
            body.Output.Add(new ValueInfoProto { Name = $"out_{shape}" });
            return body;
        }

        small.Node("If", "c", "y", ("then_branch", Body("three")), ("else_branch", Body("four"))).Output("y");

        var result = Outputs.Clean(small.Model);

        foreach (var flag in new byte[] { 0, 1 })
            Assert.AreEqual(0, Outputs.Difference(small.Model, result.Model, new Dictionary<string, Tensor> { ["x"] = SmallModel.Tensor(1, 2, 6), ["c"] = new(DataType.Bool, [], [flag]) }));
        Assert.AreEqual(2, result.Model.Graph.WithBodies().SelectMany(g => g.Node).Count(n => n.OpType == "Shape"), "the shape of x is known in both, those of r are told apart");
    }

    // A convolution, and what an exporter makes of y.view(y.size(0), y.size(1), y.size(2) * y.size(3)).
    private static SmallModel Flatten(SmallModel small, string input)
    {
        small.Random("w", 1, 4, 3, 3, 3).Ints("zero", 0).Node("Conv", $"{input},w", "y");
        for (var i = 0; i < 4; i++)
            small.Longs($"i{i}", [], i).Node("Shape", "y", $"s{i}").Node("Gather", $"s{i},i{i}", $"d{i}");
        return small.Node("Mul", "d2,d3", "area").Node("Unsqueeze", "d0,zero", "u0").Node("Unsqueeze", "d1,zero", "u1").Node("Unsqueeze", "area,zero", "u2")
            .Node("Concat", "u0,u1,u2", "shape", ("axis", 0)).Node("Reshape", "y,shape", "out");
    }

    private static string[] Operators(OnnxModel model) => [.. model.Graph.Node.Select(n => n.OpType)];
}
