using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Pruning.Structured;
using static ModelBuildTasks.Engine.Tests.Passes.Pruning.Structured.SurgeryProof;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Tests.Passes.Pruning.Structured;

/// <summary>Heads, feed-forward widths, the residual width.</summary>
[TestClass]
public sealed class TransformerSurgeryTests
{
    private const int Width = 12;

    // Batch and length are free: two runs of different ones.
    private static readonly IReadOnlyDictionary<string, Tensor>[] _runs = [Inputs(("x", SmallModel.Tensor(1, 1, 5, Width))), Inputs(("x", SmallModel.Tensor(2, 2, 3, Width)))];

    [TestMethod]
    public void Heads_go_with_query_key_value_and_output()
    {
        var model = Sequence().Linear("x", "q", Width, 12).Linear("x", "k", Width, 12).Linear("x", "v", Width, 12).Ints("heads", 0, 0, 3, 4);
        Heads(model, "q", "Q", 0, 2, 1, 3);
        Heads(model, "k", "K", 0, 2, 3, 1);
        Heads(model, "v", "V", 0, 2, 1, 3);
        Attend(model, 12).Linear("joined", "y", 12, 5).Output("y");
        var group = Check(model, _runs).Groups.Single();
        Assert.AreEqual(("heads", 3), (group.Kind, group.Units));
        CollectionAssert.AreEqual(new[] { 4, 5, 6, 7 }, group.Consumers.Single().Columns[1]);
        Assert.HasCount(3, group.Producers);
    }

    [TestMethod]
    public void Heads_of_a_fused_projection_that_is_split_go()
    {
        var model = Sequence().Linear("x", "qkv", Width, 36).Ints("heads", 0, 0, 3, 4).Ints("thirds", 12, 12, 12).Node("Split", "qkv,thirds", "q,k,v", ("axis", -1));
        Heads(model, "q", "Q", 0, 2, 1, 3);
        Heads(model, "k", "K", 0, 2, 3, 1);
        Heads(model, "v", "V", 0, 2, 1, 3);
        Attend(model, 12).Linear("joined", "y", 12, 5).Output("y");
        var group = Check(model, _runs).Groups.Single();
        Assert.AreEqual(("heads", 3), (group.Kind, group.Units));
        CollectionAssert.AreEqual(new[] { 4, 5, 6, 7, 16, 17, 18, 19, 28, 29, 30, 31 }, group.Slices.Single(s => s.Tensor == "qkv_w").Indices[1]);
    }

    [TestMethod]
    public void Heads_of_a_fused_projection_that_is_gathered_go()
    {
        var model = Sequence().Linear("x", "qkv", Width, 36).Ints("five", 0, 0, 3, 3, 4).Node("Reshape", "qkv,five", "r").Node("Transpose", "r", "t", ("perm", new[] { 2, 0, 3, 1, 4 }));
        for (var i = 0; i < 3; i++)
            model.Longs($"i{i}", [], i).Node("Gather", $"t,i{i}", "QkV"[i].ToString());
        model.Node("Transpose", "k", "K", ("perm", new[] { 0, 1, 3, 2 }));
        Attend(model, 12).Linear("joined", "y", 12, 5).Output("y");
        Assert.AreEqual(3, Check(model, _runs).Groups.Single().Units);
    }

    [TestMethod]
    [DataRow("Expand")]
    [DataRow("Tile")]
    [DataRow("Concat")]
    public void Grouped_queries_go_with_their_key_and_value_head(string repeat)
    {
        var model = Sequence().Linear("x", "q", Width, 24).Linear("x", "k", Width, 12).Linear("x", "v", Width, 12).Ints("qheads", 0, 0, 6, 4).Ints("heads", 0, 0, 3, 4).Ints("axis2", 2).Ints("repeats", 1, 1, 2, 1, 1).Ints("wide", 1, 1, 2, 1, 1).Ints("merged", 0, 6, -1, 4)
            .Node("Reshape", "q,qheads", "qr").Node("Transpose", "qr", "Q", ("perm", new[] { 0, 2, 1, 3 }));
        foreach (var name in new[] { "k", "v" })
        {
            Heads(model, name, name + "t", 0, 2, 1, 3);
            model.Node("Unsqueeze", $"{name}t,axis2", name + "u");
            _ = repeat == "Concat" ? model.Node("Concat", $"{name}u,{name}u", name + "e", ("axis", 2)) : model.Node(repeat, $"{name}u,{(repeat == "Tile" ? "repeats" : "wide")}", name + "e");
            model.Node("Reshape", $"{name}e,merged", name == "v" ? "V" : "km");
        }

        model.Node("Transpose", "km", "K", ("perm", new[] { 0, 1, 3, 2 }));
        Attend(model, 24).Linear("joined", "y", 24, 5).Output("y");
        var group = Check(model, _runs).Groups.Single();
        Assert.AreEqual(("heads", 3), (group.Kind, group.Units));
        Assert.HasCount(8, group.Slices.Single(s => s.Tensor == "q_w").Indices[0]);
    }

    [TestMethod]
    public void Rotary_embeddings_keep_heads_apart()
    {
        var model = Sequence(length: 5).Linear("x", "q", Width, 12).Linear("x", "k", Width, 12).Linear("x", "v", Width, 12).Ints("heads", 0, 0, 3, 4).Random("cos", 50, 5, 1, 4).Random("sin", 51, 5, 1, 4)
            .Ints("zero", 0).Ints("two", 2).Ints("end", 100).Ints("last", -1);
        foreach (var name in new[] { "q", "k" })
        {
            model.Node("Reshape", $"{name},heads", name + "r").Node("Slice", $"{name}r,zero,two,last", name + "1").Node("Slice", $"{name}r,two,end,last", name + "2").Node("Neg", name + "2", name + "n")
                .Node("Concat", $"{name}n,{name}1", name + "h", ("axis", -1)).Node("Mul", $"{name}r,cos", name + "c").Node("Mul", $"{name}h,sin", name + "s").Node("Add", $"{name}c,{name}s", name + "e");
        }

        model.Node("Transpose", "qe", "Q", ("perm", new[] { 0, 2, 1, 3 })).Node("Transpose", "ke", "K", ("perm", new[] { 0, 2, 3, 1 }));
        Heads(model, "v", "V", 0, 2, 1, 3);
        Attend(model, 12).Linear("joined", "y", 12, 5).Output("y");
        Assert.AreEqual(3, Check(model, _runs[0]).Groups.Single().Units);
    }

    [TestMethod]
    public void Norms_within_a_head_leave_heads_to_go()
    {
        var model = Sequence().Linear("x", "q", Width, 12).Linear("x", "k", Width, 12).Linear("x", "v", Width, 12).Ints("heads", 0, 0, 3, 4).Random("qg", 60, 4).Random("kg", 61, 4);
        foreach (var name in new[] { "q", "k" })
            model.Node("Reshape", $"{name},heads", name + "r").Node("LayerNormalization", $"{name}r,{name}g", name + "n", ("axis", -1));
        model.Node("Transpose", "qn", "Q", ("perm", new[] { 0, 2, 1, 3 })).Node("Transpose", "kn", "K", ("perm", new[] { 0, 2, 3, 1 }));
        Heads(model, "v", "V", 0, 2, 1, 3);
        Attend(model, 12).Linear("joined", "y", 12, 5).Output("y");
        Assert.AreEqual(3, Check(model, _runs).Groups.Single().Units);
    }

    [TestMethod]
    public void Shapes_that_are_computed_at_run_time_are_understood()
    {
        var model = Sequence().Linear("x", "q", Width, 12).Linear("x", "k", Width, 12).Linear("x", "v", Width, 12).Longs("i0", [], 0).Longs("i1", [], 1).Ints("axis0", 0).Ints("three", 3).Ints("four", 4)
            .Node("Shape", "x", "s").Node("Gather", "s,i0", "b0").Node("Gather", "s,i1", "n0").Node("Unsqueeze", "b0,axis0", "b1").Node("Unsqueeze", "n0,axis0", "n1").Node("Concat", "b1,n1,three,four", "heads", ("axis", 0));
        Heads(model, "q", "Q", 0, 2, 1, 3);
        Heads(model, "k", "K", 0, 2, 3, 1);
        Heads(model, "v", "V", 0, 2, 1, 3);
        Attend(model, 12).Linear("joined", "y", 12, 5).Output("y");
        Assert.AreEqual(3, Check(model, _runs).Groups.Single().Units);
    }

    [TestMethod]
    public void A_gated_feed_forward_loses_both_sides()
    {
        var model = Sequence().Linear("x", "gate", Width, 16).Linear("x", "up", Width, 16).Node("Sigmoid", "gate", "s").Node("Mul", "gate,s", "silu").Node("Mul", "silu,up", "h").Linear("h", "y", 16, 5).Output("y");
        var group = Check(model, _runs).Groups.Single();
        Assert.AreEqual(("hidden", 16), (group.Kind, group.Units));
        Assert.AreEqual(2 * (Width + 1) + 5, group.Parameters[0]);
    }

    [TestMethod]
    [DataRow("layer")]
    [DataRow("root mean square")]
    public void The_residual_width_goes_under_norms(string norm)
    {
        var model = new SmallModel().Input("ids", DataType.Int64, -1, -2).Random("table", 3, 20, 8).Node("Gather", "table,ids", "e").Random("g", 4, 8).Random("o", 5, 8).Floats("eps", [], 1e-5f);
        if (norm == "layer")
            model.Node("LayerNormalization", "e,g,o", "n", ("axis", -1));
        else
            model.Node("Mul", "e,e", "sq").Node("ReduceMean", "sq", "mean", ("axes", new[] { -1 })).Node("Add", "mean,eps", "me").Node("Sqrt", "me", "root").Node("Div", "e,root", "d").Node("Mul", "d,g", "n");
        model.Linear("n", "h", 8, 10).Node("Relu", "h", "r").Linear("r", "f", 10, 8).Node("Add", "e,f", "a").Node("Transpose", "table", "head").Node("MatMul", "a,head", "y").Output("y");
        var ids = Tensor.Of<long>(DataType.Int64, [2, 4], [1, 5, 3, 19, 0, 7, 2, 2]);
        var analysis = Check(model, Inputs(("ids", ids)));
        var width = analysis.Groups.Single(g => g.Units == 8);
        Assert.IsTrue(width.ReadByStatistics);
        Assert.AreEqual("width", width.Kind);
        Assert.AreEqual(10, analysis.Groups.Single(g => g.Units != 8).Units);
        Assert.HasCount(1, analysis.Branches);
    }

    [TestMethod]
    public void A_norm_over_what_is_not_zero_holds_the_width_back()
    {
        var model = Sequence().Linear("x", "a", Width, 8).Node("Sigmoid", "a", "b").Random("g", 4, 8).Node("LayerNormalization", "b,g", "c").Linear("c", "y", 8, 5).Output("y");
        var analysis = Check(model, _runs);
        Assert.IsEmpty(analysis.Groups);
        Assert.IsTrue(analysis.Barriers.Any(b => b.Op == "LayerNormalization" && b.Weights.Contains("a_w")));
    }

    [TestMethod]
    public void Softmax_over_units_and_products_of_two_values_hold_back()
    {
        var model = Sequence().Linear("x", "a", Width, 8).Node("Softmax", "a", "b").Linear("b", "c", 8, 6).Node("Transpose", "c", "t", ("perm", new[] { 0, 2, 1 })).Node("MatMul", "c,t", "y").Output("y");
        var analysis = Check(model, _runs);
        Assert.IsEmpty(analysis.Groups);
        CollectionAssert.IsSubsetOf(new[] { "Softmax", "MatMul" }, analysis.Barriers.Select(b => b.Op).ToArray());
    }

    private static SmallModel Sequence(long length = -2) => new SmallModel().Input("x", -1, length, Width);

    private static void Heads(SmallModel model, string from, string to, params int[] order) =>
        model.Node("Reshape", $"{from},heads", from + "_r").Node("Transpose", from + "_r", to, ("perm", order));

    private static SmallModel Attend(SmallModel model, int width) =>
        model.Node("MatMul", "Q,K", "scores").Floats("scale", [], 0.5f).Node("Mul", "scores,scale", "scaled").Node("Softmax", "scaled", "shares").Node("MatMul", "shares,V", "mixed")
            .Node("Transpose", "mixed", "back", ("perm", new[] { 0, 2, 1, 3 })).Ints("whole", 0, 0, width).Node("Reshape", "back,whole", "joined");
}
