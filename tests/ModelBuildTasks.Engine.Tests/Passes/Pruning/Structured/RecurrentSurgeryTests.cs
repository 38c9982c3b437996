using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Pruning.Structured;
using static ModelBuildTasks.Engine.Tests.Passes.Pruning.Structured.SurgeryProof;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Tests.Passes.Pruning.Structured;

/// <summary>Hidden states of recurrent nodes, and what is in branches.</summary>
[TestClass]
public sealed class RecurrentSurgeryTests
{
    private static readonly IReadOnlyDictionary<string, Tensor>[] _runs = [Inputs(("x", SmallModel.Tensor(1, 4, 1, 5))), Inputs(("x", SmallModel.Tensor(2, 3, 2, 5)))];

    [TestMethod]
    [DataRow("LSTM", 4, 1)]
    [DataRow("LSTM", 4, 2)]
    [DataRow("GRU", 3, 1)]
    [DataRow("GRU", 3, 2)]
    [DataRow("RNN", 1, 1)]
    public void Hidden_states_go_with_every_gate(string op, int gates, int directions)
    {
        var model = Stack(op, gates, directions, "");
        var analysis = Check(model, _runs);
        CollectionAssert.AreEqual(new[] { 7, 6 }, analysis.Groups.Select(g => g.Units).ToArray());
        Assert.IsTrue(analysis.Groups.All(g => g.Kind == "hidden" || g.Units == 7));
        Assert.AreEqual(3, analysis.Groups.Sum(g => g.Consumers.Count));
    }

    [TestMethod]
    public void Zero_states_made_to_measure_are_left_out()
    {
        var model = Stack("LSTM", 4, 1, "zeros").Longs("at", [], 1).Ints("axis0", 0).Ints("one", 1).Ints("size", 6).Node("Shape", "x", "shape").Node("Gather", "shape,at", "batch0").Node("Unsqueeze", "batch0,axis0", "batch")
            .Node("Concat", "one,batch,size", "dims", ("axis", 0)).Node("ConstantOfShape", "dims", "zeros");
        var nodes = model.Graph.Node.ToList();
        model.Graph.Node.Clear();
        model.Graph.Node.AddRange(nodes.OrderBy(n => n.OpType is "Shape" or "Gather" or "Unsqueeze" || n.Output[0] is "dims" or "zeros" ? 0 : 1));
        Assert.AreEqual(2, Check(model, _runs).Groups.Count);
    }

    [TestMethod]
    public void A_constant_state_goes_and_a_given_one_holds_back()
    {
        var model = Stack("GRU", 3, 1, "start").Random("start", 8, 1, 1, 6);
        Assert.AreEqual(2, Check(model, _runs[0]).Groups.Count);
        var given = Stack("GRU", 3, 1, "start").Input("start", 1, -1, 6);
        var analysis = ChannelAnalysis.Of(given.Model, ValueTypes.Infer(given.Model));
        Assert.AreEqual(7, analysis.Groups.Single().Units);
        Assert.IsTrue(analysis.Barriers.Any(b => b.Op == "GRU" && b.Weights.Contains("r")));
    }

    [TestMethod]
    public void Branches_are_labelled_by_themselves_and_hold_back_what_they_read()
    {
        var body = new SmallModel();
        body.Random("inner", 5, 8, 6).Node("MatMul", "outer,inner", "h").Node("Relu", "h", "r").Random("last", 6, 6, 2).Node("MatMul", "r,last", "then_y").Output("then_y");
        var other = new SmallModel();
        other.Random("o", 9, 8, 2).Node("MatMul", "outer,o", "else_y").Output("else_y");
        var model = new SmallModel();
        foreach (var graph in new[] { body, other })
        {
            foreach (var tensor in graph.Graph.Initializer)
                tensor.PayloadRef = model.Model.Payloads.Add(graph.Model.ReadBytes(tensor));
        }

        model.Input("x", -1, 3).Input("c", DataType.Bool, []).Random("w", 1, 3, 10).Node("MatMul", "x,w", "a").Node("Tanh", "a", "b").Random("v", 2, 10, 8).Node("MatMul", "b,v", "outer").Node("If", "c", "y", ("then_branch", body.Graph), ("else_branch", other.Graph)).Output("y");
        var analysis = Check(model, [.. new byte[] { 1, 0 }.Select(c => Inputs(("x", SmallModel.Tensor(1, 2, 3)), ("c", new Tensor(DataType.Bool, [], [c])))).Take(1)]);
        CollectionAssert.AreEqual(new[] { 10, 6 }, analysis.Groups.Select(g => g.Units).ToArray());
        Assert.IsTrue(analysis.Barriers.Any(b => b.Op == "If" && b.Weights.Contains("v")));
    }

    /// <summary>A product, a recurrent node that reads it, and a product that reads all its states.</summary>
    private static SmallModel Stack(string op, int gates, int directions, string state)
    {
        var model = new SmallModel().Input("x", -1, -2, 5).Random("p", 1, 5, 7).Node("MatMul", "x,p", "a").Node("Tanh", "a", "b")
            .Random("w", 2, directions, gates * 6, 7).Random("r", 3, directions, gates * 6, 6).Random("bias", 4, directions, 2 * gates * 6);
        return model.Node(op, $"b,w,r,bias,,{state}".TrimEnd(','), "s", ("hidden_size", 6), ("direction", directions == 2 ? "bidirectional" : "forward"))
            .Node("Transpose", "s", "t", ("perm", new[] { 0, 2, 1, 3 })).Ints("flat", 0, 0, -1).Node("Reshape", "t,flat", "f").Random("out", 5, directions * 6, 3).Node("MatMul", "f,out", "y").Output("y");
    }
}
