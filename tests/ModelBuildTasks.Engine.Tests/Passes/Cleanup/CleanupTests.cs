using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Passes;

[TestClass]
public sealed class CleanupTests
{
    [TestMethod]
    public void Weights_listed_as_inputs_become_constants()
    {
        using var model = OnnxModel.Load(TestData.Path("mnist/mnist.onnx"));
        Assert.AreEqual(3, model.Proto.IrVersion);

        var result = Outputs.Clean(model);

        Assert.AreEqual("Input3", result.Model.Graph.Input.Single().Name);
        Assert.IsGreaterThanOrEqualTo(4, result.Model.Proto.IrVersion);
        Assert.IsTrue(result.Decisions.Any(d => d.What == "inputs made constant"));
    }

    [TestMethod]
    public void Comments_and_metadata_of_nodes_and_values_go_and_those_of_the_model_stay()
    {
        static StringStringEntryProto Entry() => new() { Key = "stack_trace", Value = "line 1" };
        var body = new GraphProto { Name = "body" };
        body.Node.Add(SmallModel.NodeOf("Neg", "a", "inner"));
        body.Output.Add(SmallModel.Value("inner", DataType.Float, 2, 2));
        var small = new SmallModel(ir: 10).Input("x", 2, 2).Input("c", DataType.Bool, 1).Output("out")
            .Node("Relu", "x", "a").Node("If", "c", "out", ("then_branch", body), ("else_branch", body.Clone()));
        small.Graph.ValueInfo.Add(SmallModel.Value("a", DataType.Float, 2, 2));
        foreach (var graph in small.Graph.WithBodies())
        {
            graph.MetadataProps.Add(Entry());
            foreach (var node in graph.Node)
            {
                node.DocString = "exported";
                node.MetadataProps.Add(Entry());
            }

            foreach (var value in graph.ValueInfo)
            {
                value.DocString = "exported";
                value.MetadataProps.Add(Entry());
            }
        }

        small.Model.Proto.MetadataProps.Add(new StringStringEntryProto { Key = "classes", Value = "cat,dog" });

        var result = Outputs.Clean(small.Model).Model;

        foreach (var graph in result.Graph.WithBodies())
        {
            Assert.IsEmpty(graph.MetadataProps);
            Assert.IsTrue(graph.Node.All(n => n.MetadataProps.Count == 0 && !n.HasDocString));
            Assert.IsTrue(graph.ValueInfo.All(v => v.MetadataProps.Count == 0 && !v.HasDocString));
        }

        Assert.AreEqual("classes=cat,dog", string.Join(';', result.Proto.MetadataProps.Select(p => $"{p.Key}={p.Value}")));
        Assert.AreEqual(0, Outputs.Difference(small.Model, result));
    }

    [TestMethod]
    public void Nodes_in_front_of_what_they_read_are_put_in_order()
    {
        var body = new GraphProto { Name = "body" };
        body.Node.Add(SmallModel.NodeOf("Neg", "b", "inner"));
        body.Output.Add(SmallModel.Value("inner", DataType.Float, 2, 2));
        var small = new SmallModel().Input("x", 2, 2).Input("c", DataType.Bool, 1).Output("out")
            .Node("If", "c", "out", ("then_branch", body), ("else_branch", body.Clone())).Node("Sigmoid", "a", "b").Node("Relu", "x", "a");

        var result = Outputs.Clean(small.Model);

        CollectionAssert.AreEqual(new[] { "Relu", "Sigmoid", "If" }, result.Model.Graph.Node.Select(n => n.OpType).ToArray());
        Assert.AreEqual(0, Outputs.Difference(small.Model, result.Model));
    }

    [TestMethod]
    [DataRow("Identity", 17)]
    [DataRow("Dropout", 7)]
    [DataRow("Dropout", 17)]
    [DataRow("Cast", 17)]
    [DataRow("Transpose", 17)]
    public void A_node_that_gives_back_its_input_goes(string op, long opset)
    {
        SmallModel Around(Action<SmallModel> nodes)
        {
            var small = new SmallModel(opset).Input("x", 2, 2).Output("out");
            nodes(small);
            return small;
        }

        void Set(NodeProto node)
        {
            if (op == "Cast")
                node.Set("to", (long)DataType.Float);
            if (op == "Transpose")
                node.Set("perm", 0, 1);
            if (op == "Dropout")
                node.Output.Add("mask");
        }

        foreach (var small in new[]
        {
            Around(s => s.Node(op, ["x"], ["y"], Set).Node("Relu", ["y"], ["out"])),
            Around(s => s.Node("Relu", ["x"], ["y"]).Node(op, ["y"], ["out"], Set)),
            Around(s => s.Node("Relu", ["x"], ["y"]).Node(op, ["y"], ["z"], Set).Node("Identity", ["z"], ["out"])),
        })
        {
            var result = Outputs.Clean(small.Model);
            Assert.AreEqual("Relu", result.Model.Graph.Node.Single().OpType);
            Assert.AreEqual(0, Outputs.Difference(small.Model, result.Model));
            Assert.IsTrue(result.Decisions.All(d => d.What == "removed"));
        }
    }

    [TestMethod]
    public void An_Identity_between_names_that_must_both_stay_stays()
    {
        foreach (var small in new[]
        {
            new SmallModel().Input("x", 2).Output("out").Node("Identity", ["x"], ["out"]),
            new SmallModel().Input("x", 2).Output("out").Output("c").Floats("w", [2], 1, 2).Node("Identity", ["w"], ["c"]).Node("Identity", ["x"], ["out"]),
            new SmallModel().Input("x", 2).Output("y").Output("out").Node("Relu", ["x"], ["y"]).Node("Identity", ["y"], ["out"]),
        })
        {
            var result = Outputs.Clean(small.Model);
            CollectionAssert.AreEqual(small.Graph.Node.Select(n => n.OpType).ToArray(), result.Model.Graph.Node.Select(n => n.OpType).ToArray());
            Assert.AreEqual(0, Outputs.Difference(small.Model, result.Model));
        }
    }

    [TestMethod]
    public void Two_outputs_of_one_value_keep_both_names()
    {
        var small = new SmallModel().Input("x", 2).Output("a").Output("b").Node("Relu", ["x"], ["y"]).Node("Identity", ["y"], ["a"]).Node("Identity", ["y"], ["b"]);

        var result = Outputs.Clean(small.Model);

        CollectionAssert.AreEqual(new[] { "Relu", "Identity" }, result.Model.Graph.Node.Select(n => n.OpType).ToArray());
        Assert.AreEqual(0, Outputs.Difference(small.Model, result.Model));
    }

    [TestMethod]
    public void A_Dropout_that_trains_or_whose_mask_is_read_stays()
    {
        var small = new SmallModel().Input("x", 4).Output("out").Output("mask", DataType.Bool).Node("Dropout", ["x"], ["d", "mask"]).Node("Relu", ["d"], ["out"]);
        Assert.HasCount(2, Outputs.Clean(small.Model).Model.Graph.Node);

        var training = new SmallModel().Input("x", 4).Output("out").Floats("ratio", [], 0.5f).Node("Dropout", ["x", "ratio", "mode"], ["d"]).Node("Relu", ["d"], ["out"]);
        training.Graph.Initializer.Add(training.Model.CreateTensor("mode", DataType.Bool, [], new ReadOnlyMemory<byte>([1])));
        Assert.HasCount(2, Outputs.Clean(training.Model).Model.Graph.Node);
    }

    [TestMethod]
    public void A_Cast_whose_input_type_is_not_sure_or_differs_stays()
    {
        var small = new SmallModel().Input("x", DataType.Int32, 4).Output("out").Node("Cast", ["x"], ["y"], n => n.Set("to", (long)DataType.Float)).Node("Relu", ["y"], ["out"]);

        Assert.HasCount(2, Outputs.Clean(small.Model).Model.Graph.Node);
    }

    [TestMethod]
    public void What_no_output_depends_on_goes_and_unread_inputs_stay()
    {
        var small = new SmallModel().Input("x", 2).Input("unread", 3).Output("out").Floats("w", [2], 1, 2).Floats("alone", [1], 3)
            .Node("Relu", ["x"], ["out"]).Node("Mul", ["x", "w"], ["dead"]).Node("Neg", ["dead"], ["deader"]);

        var result = Outputs.Clean(small.Model);

        Assert.AreEqual("Relu", result.Model.Graph.Node.Single().OpType);
        Assert.IsEmpty(result.Model.Graph.Initializer);
        CollectionAssert.AreEqual(new[] { "x", "unread" }, result.Model.Graph.Input.Select(i => i.Name).ToArray());
        CollectionAssert.AreEqual(new[] { "dead", "deader" }, result.Decisions.Select(d => d.Name).ToArray());
    }

    [TestMethod]
    public void Equal_weights_are_merged_and_others_are_not()
    {
        var small = new SmallModel().Input("x", 2).Output("out").Floats("a", [2], 1, 2).Floats("b", [2], 1, 2).Floats("c", [2], 1, 3).Floats("d", [1, 2], 1, 2)
            .Node("Mul", ["x", "a"], ["p"]).Node("Add", ["p", "b"], ["q"]).Node("Mul", ["q", "c"], ["r"]).Node("Add", ["r", "d"], ["out"]);

        var result = Outputs.Clean(small.Model);

        CollectionAssert.AreEqual(new[] { "a", "c", "d" }, result.Model.Graph.Initializer.Select(t => t.Name).ToArray());
        Assert.AreEqual("1 duplicate weight merged", result.Summary);
        Assert.AreEqual(0, Outputs.Difference(small.Model, result.Model));
    }

    [TestMethod]
    public void A_body_with_a_value_of_the_same_name_as_one_outside_keeps_its_own()
    {
        // y is x by another name outside; inside the body x is something else.
        var then = new SmallModel().Output("t").Node("Neg", ["y"], ["inner"]).Node("Relu", ["inner"], ["t"]);
        var other = new SmallModel().Output("e").Node("Abs", ["y"], ["e"]);
        var small = new SmallModel().Input("v", 3).Input("flag", DataType.Bool).Output("out").Node("Tanh", ["v"], ["inner0"]).Node("Identity", ["inner0"], ["y"])
            .Node("If", ["flag"], ["out"], n =>
            {
                n.Attribute.Add(new AttributeProto { Name = "then_branch", G = then.Graph, Type = AttributeProto.Types.AttributeType.Graph });
                n.Attribute.Add(new AttributeProto { Name = "else_branch", G = other.Graph, Type = AttributeProto.Types.AttributeType.Graph });
            });

        var result = Outputs.Clean(small.Model);
        Assert.HasCount(2, result.Model.Graph.Node);
        var bodies = result.Model.Graph.WithBodies().Skip(1).ToList();
        Assert.AreEqual("inner0", bodies[0].Node[0].Input[0]);
        var inputs = new Dictionary<string, Tensor> { ["v"] = SmallModel.Tensor(1, 3), ["flag"] = new(DataType.Bool, [], [1]) };
        Assert.AreEqual(0, Outputs.Difference(small.Model, result.Model, inputs));

        then.Graph.Node[0].Output[0] = then.Graph.Node[1].Input[0] = "inner0";
        var shadowed = Outputs.Clean(small.Model);
        Assert.IsTrue(shadowed.Model.Graph.Node.Any(n => n.OpType == "Identity"), "the body would read its own inner0");
    }

    [TestMethod]
    public void Comments_and_stale_value_information_go_and_metadata_stays()
    {
        var small = new SmallModel().Input("x", 2).Output("out").Node("Relu", ["x"], ["y"], n => n.DocString = "stack trace").Node("Identity", ["y"], ["z"]).Node("Neg", ["z"], ["out"]);
        small.Graph.ValueInfo.Add([SmallModel.Value("y", DataType.Float, 2), SmallModel.Value("z", DataType.Float, 2)]);
        small.Model.Proto.MetadataProps.Add(new StringStringEntryProto { Key = "author", Value = "someone" });
        small.Model.Proto.DocString = "a model";

        var clean = Outputs.Clean(small.Model).Model;

        CollectionAssert.AreEqual(new[] { "y" }, clean.Graph.ValueInfo.Select(v => v.Name).ToArray());
        Assert.IsFalse(clean.Graph.Node[0].HasDocString);
        Assert.AreEqual("someone", clean.Proto.MetadataProps.Single().Value);
        Assert.AreEqual("a model", clean.Proto.DocString);
    }
}
