using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Pruning.Structured;
using static ModelBuildTasks.Engine.Tests.Passes.Pruning.Structured.SurgeryProof;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Tests.Passes.Pruning.Structured;

/// <summary>Channels of convolutional networks: what goes together, and that it goes without a trace.</summary>
[TestClass]
public sealed class ConvolutionSurgeryTests
{
    private static readonly IReadOnlyDictionary<string, Tensor>[] _images = [Inputs(("x", SmallModel.Tensor(1, 1, 3, 6, 6))), Inputs(("x", SmallModel.Tensor(2, 2, 3, 6, 6)))];

    [TestMethod]
    public void Channels_between_two_convolutions_go_with_bias_norm_slope_and_pooling()
    {
        var model = Net().Conv("x", "a", 3, 8).Random("slope", 3, 8, 1, 1).Node("PRelu", "a,slope", "b")
            .Random("s", 4, 8).Random("o", 5, 8).Random("m", 6, 8).Floats("v", [8], [.. Enumerable.Range(1, 8).Select(i => (float)i)])
            .Node("BatchNormalization", "b,s,o,m,v", "c").Node("MaxPool", "c", "d", ("kernel_shape", new[] { 2, 2 })).Conv("d", "y", 8, 2).Output("y");
        var group = Check(model, _images).Groups.Single();
        Assert.AreEqual((8, "channels"), (group.Units, group.Kind));
        Assert.AreEqual(SliceRole.Scale, group.Slices.Single(s => s.Tensor == "slope").Role);
        Assert.HasCount(1, group.Consumers);
        // 3·9 and a bias of the first, 2·9 of the second, four of the norm, one slope.
        Assert.AreEqual(27 + 1 + 18 + 4 + 1, group.Parameters[0]);
        CollectionAssert.AreEqual(Enumerable.Range(9, 9).ToArray(), group.Consumers[0].Columns[1]);
        CollectionAssert.AreEqual(new[] { 1 }, group.Producers[0].Rows[1]);
    }

    [TestMethod]
    public void Channels_that_a_residual_adds_go_in_both_branches()
    {
        var model = Net().Conv("x", "a", 3, 8).Node("Relu", "a", "b").Conv("b", "c", 8, 6).Node("Sigmoid", "c", "d").Conv("d", "e", 6, 8).Node("Add", "e,b", "f").Conv("f", "y", 8, 2).Output("y");
        var analysis = Check(model, _images);
        CollectionAssert.AreEquivalent(new[] { "width 8", "channels 6" }, analysis.Groups.Select(g => $"{g.Kind} {g.Units}").ToArray());
        Assert.HasCount(2, analysis.Groups.Single(g => g.Kind == "width").Consumers);
        Assert.HasCount(1, analysis.Branches);
    }

    [TestMethod]
    public void A_branch_that_adds_zero_goes_as_a_whole()
    {
        var model = Net().Conv("x", "a", 3, 8).Node("Relu", "a", "b").Conv("b", "c", 8, 8).Node("Relu", "c", "d").Conv("d", "e", 8, 8).Node("Add", "b,e", "f").Node("Relu", "f", "y").Output("y");
        foreach (var name in new[] { "e_w", "e_b" })
        {
            var weight = model.Graph.Initializer.Single(i => i.Name == name);
            weight.PayloadRef = model.Model.Payloads.Add(new byte[model.Model.ByteLength(weight)]);
        }

        var analysis = ChannelAnalysis.Of(model.Model, ValueTypes.Infer(model.Model));
        var branch = analysis.Branches.Single();
        Assert.AreEqual(2 * (8 * 8 * 9 + 8), branch.Parameters);
        var cut = model.Model.Clone();
        ChannelSurgery.RemoveBranches(cut, analysis, [0]);
        CollectionAssert.AreEqual(new[] { "Conv", "Relu", "Relu" }, cut.Graph.Node.Select(n => n.OpType).ToArray());
        using var before = new Session(model.Model);
        using var after = new Session(cut);
        CollectionAssert.AreEqual(before.Run(_images[0])["y"].ToFloats(), after.Run(_images[0])["y"].ToFloats());
    }

    [TestMethod]
    public void Concat_and_split_and_slice_map_channels()
    {
        var model = Net().Conv("x", "a", 3, 4).Conv("x", "b", 3, 6).Node("Concat", "a,b", "c", ("axis", 1)).Ints("sizes", 3, 7).Node("Split", "c,sizes", "d,e", ("axis", 1))
            .Ints("from", 1).Ints("to", 6).Ints("axes", 1).Node("Slice", "e,from,to,axes", "f").Conv("d", "g", 3, 2).Conv("f", "h", 5, 2).Node("Add", "g,h", "y").Output("y");
        // Channel 3 (a) is cut off by the slice together with 9 (b): what no one reads can go, too.
        var analysis = Check(model, _images);
        Assert.AreEqual(10, analysis.Groups.Sum(g => g.Units));
    }

    [TestMethod]
    public void A_slice_with_steps_becomes_a_gather()
    {
        var model = Net().Conv("x", "a", 3, 9).Ints("from", -1).Ints("to", -100).Ints("axes", 1).Ints("steps", -2).Node("Slice", "a,from,to,axes,steps", "b").Conv("b", "c", 5, 2).Conv("a", "d", 9, 2).Node("Add", "c,d", "y").Output("y");
        CollectionAssert.AreEquivalent(new[] { 5, 4 }, Check(model, _images).Groups.Select(g => g.Units).ToArray());
    }

    [TestMethod]
    [DataRow(true)]
    [DataRow(false)]
    public void A_channel_shuffle_is_an_exact_map(bool dynamic)
    {
        var model = Net().Conv("x", "a", 3, 12);
        if (dynamic)
            model.Ints("shape1", 0, 2, 6, 6, 6).Ints("shape2", 0, 12, 6, 6);
        else
            model.Ints("shape1", -1, 2, 6, 36).Ints("shape2", -1, 12, 6, 6);
        model.Node("Reshape", "a,shape1", "b").Node("Transpose", "b", "c", ("perm", dynamic ? new[] { 0, 2, 1, 3, 4 } : [0, 2, 1, 3])).Node("Reshape", "c,shape2", "d")
            .Ints("sizes", 5, 7).Node("Split", "d,sizes", "e,f", ("axis", 1)).Conv("e", "g", 5, 2).Conv("f", "h", 7, 2).Node("Add", "g,h", "y").Output("y");
        var analysis = Check(model, _images);
        Assert.AreEqual(12, analysis.Groups.Sum(g => g.Units));
        // Three of five: more than whole rows.
        var group = analysis.Groups.Single(g => g.Units == 5);
        var cut = Prove(model.Model, analysis, new() { [group.Id] = [0, 1, 4] }, _images, "three of five");
        Assert.IsTrue(cut.Graph.Node.Any(n => n.OpType == "Gather"));
    }

    [TestMethod]
    public void Even_and_odd_channels_are_taken_apart_exactly()
    {
        var model = new SmallModel().Input("x", 1, 3, 6, 6).Conv("x", "a", 3, 8).Ints("s1", 4, 2, 36).Node("Reshape", "a,s1", "b").Node("Transpose", "b", "c", ("perm", new[] { 1, 0, 2 })).Ints("s2", 2, -1, 4, 6, 6)
            .Node("Reshape", "c,s2", "d").Longs("zero", [], 0).Longs("one", [], 1).Node("Gather", "d,zero", "e").Node("Gather", "d,one", "f").Conv("e", "g", 4, 2).Conv("f", "h", 4, 2).Node("Add", "g,h", "y").Output("y");
        CollectionAssert.AreEqual(new[] { 4, 4 }, Check(model, _images[0]).Groups.Select(g => g.Units).ToArray());
    }

    [TestMethod]
    [DataRow(2, 8, 8, 4, DisplayName = "the same channels in every group")]
    [DataRow(4, 8, 8, 4, DisplayName = "whole groups")]
    [DataRow(8, 8, 8, 8, DisplayName = "depthwise")]
    [DataRow(8, 8, 16, 8, DisplayName = "depthwise with a multiplier")]
    public void Grouped_convolutions_keep_even_groups(int groups, int inputs, int outputs, int units)
    {
        var model = Net().Conv("x", "a", 3, inputs).Random("w", 7, outputs, inputs / groups, 3, 3).Random("b", 8, outputs).Node("Conv", "a,w,b", "c", ("group", groups), ("pads", new[] { 1, 1, 1, 1 }))
            .Node("Relu", "c", "d").Conv("d", "y", outputs, 2).Output("y");
        Assert.IsTrue(Check(model, _images).Groups.All(g => g.Units == units));
    }

    [TestMethod]
    [DataRow(1, 8, 6)]
    [DataRow(2, 8, 6)]
    [DataRow(8, 8, 1)]
    [DataRow(4, 8, 2)]
    public void Transposed_convolutions_go_with_their_channels(int groups, int inputs, int perGroup)
    {
        var outputs = groups * perGroup;
        var model = Net().Conv("x", "a", 3, inputs).Random("w", 7, inputs, perGroup, 2, 2).Random("b", 8, outputs).Node("ConvTranspose", "a,w,b", "c", ("group", groups), ("strides", new[] { 2, 2 })).Node("Relu", "c", "d").Conv("d", "y", outputs, 2).Output("y");
        Assert.IsNotEmpty(Check(model, _images).Groups);
    }

    [TestMethod]
    public void Flattened_channels_take_their_columns_along()
    {
        var model = Net().Conv("x", "a", 3, 4).Node("Flatten", "a", "b").Random("w", 5, 4 * 36, 10).Random("c", 6, 10).Node("Gemm", "b,w,c", "d").Node("Tanh", "d", "e").Random("v", 7, 3, 10).Node("Gemm", "e,v", "y", ("transB", 1)).Output("y");
        var analysis = Check(model, _images);
        CollectionAssert.AreEqual(new[] { 4, 10 }, analysis.Groups.Select(g => g.Units).ToArray());
        CollectionAssert.AreEqual(Enumerable.Range(36, 36).ToArray(), analysis.Groups[0].Slices.Single(s => s.Tensor == "w").Indices[1]);
    }

    [TestMethod]
    public void A_squeeze_and_excite_gate_goes_with_the_channels_it_scales()
    {
        var model = Net().Conv("x", "a", 3, 8).Node("GlobalAveragePool", "a", "b").Conv("b", "c", 8, 4).Node("Relu", "c", "d").Conv("d", "e", 4, 8).Node("HardSigmoid", "e", "f").Node("Mul", "a,f", "g").Conv("g", "y", 8, 2).Output("y");
        CollectionAssert.AreEquivalent(new[] { 8, 4 }, Check(model, _images).Groups.Select(g => g.Units).ToArray());
    }

    [TestMethod]
    public void Padding_resizing_and_depth_to_space_keep_channels_apart()
    {
        var model = Net().Conv("x", "a", 3, 8).Ints("pads", 0, 0, 1, 1, 0, 0, 1, 1).Node("Pad", "a,pads", "b").Ints("sizes", 1, 8, 4, 4).Node("Resize", "b,,,sizes", "c", ("mode", "nearest"))
            .Node("DepthToSpace", "c", "d", ("blocksize", 2), ("mode", "CRD")).Conv("d", "e", 2, 4).Node("SpaceToDepth", "e", "f", ("blocksize", 2)).Conv("f", "y", 16, 2).Output("y");
        CollectionAssert.AreEqual(new[] { 2, 4 }, Check(model, _images[0]).Groups.Select(g => g.Units).ToArray());
    }

    [TestMethod]
    public void Instance_and_group_norms_take_whole_groups()
    {
        var model = Net().Conv("x", "a", 3, 8).Ints("s1", 0, 4, -1).Node("Reshape", "a,s1", "b").Random("one", 5, 4).Random("zero", 6, 4).Node("InstanceNormalization", "b,one,zero", "c").Ints("s2", 0, 8, 6, 6).Node("Reshape", "c,s2", "d")
            .Random("g", 7, 8, 1, 1).Node("Mul", "d,g", "e").Conv("e", "f", 8, 6).Random("i", 8, 6).Random("j", 9, 6).Node("InstanceNormalization", "f,i,j", "k").Conv("k", "y", 6, 2).Output("y");
        CollectionAssert.AreEqual(new[] { 4, 6 }, Check(model, _images).Groups.Select(g => g.Units).ToArray());
    }

    [TestMethod]
    public void The_operator_group_normalization_loses_groups()
    {
        var model = new SmallModel(opset: 21, ir: 10).Input("x", -1, 3, 6, 6).Conv("x", "a", 3, 8).Random("s", 5, 8).Random("o", 6, 8).Node("GroupNormalization", "a,s,o", "b", ("num_groups", 4)).Conv("b", "y", 8, 2).Output("y");
        Assert.AreEqual(4, Check(model, _images).Groups.Single().Units);
    }

    [TestMethod]
    public void Shared_weights_and_constant_nodes_are_cut_once()
    {
        var model = Net();
        model.Node("Constant", "", "w", ("value", model.Model.CreateTensor("", [3, 3, 1, 1], SmallModel.Values(4, 9)))).Conv("x", "stem", 3, 3).Node("Conv", "stem,w", "a").Node("Relu", "a", "b").Node("Conv", "b,w", "c").Conv("c", "y", 3, 2).Output("y");
        var group = Check(model, _images).Groups.Single();
        Assert.AreEqual(3, group.Units);
        Assert.HasCount(2, group.Slices.Where(s => s.Tensor == "w").ToList());
    }

    [TestMethod]
    public void What_leaves_enters_or_meets_the_unknown_stays_and_says_why()
    {
        var model = Net().Conv("x", "a", 3, 8).Node("Conv", "a,w", "b").Random("w", 5, 6, 8, 1, 1).Conv("b", "c", 6, 5).Conv("c", "y", 5, 2).Output("y");
        model.Graph.Node.Insert(2, new NodeProto { OpType = "Mystery", Domain = "nobody", Name = "riddle", Input = { "b" }, Output = { "b2" } });
        model.Graph.Node[3].Input[0] = "b2";
        var analysis = ChannelAnalysis.Of(model.Model, ValueTypes.Infer(model.Model));
        CollectionAssert.AreEqual(new[] { 8, 5 }, analysis.Groups.Select(g => g.Units).ToArray());
        var riddle = analysis.Barriers.Single(b => b.Node == "riddle");
        StringAssert.Contains(riddle.Reason, "nobody.Mystery");
        CollectionAssert.Contains(riddle.Weights.ToArray(), "w");
        Assert.IsTrue(analysis.Barriers.Any(b => b.Op == "Output" && b.Weights.Contains("y_w")));
        Assert.IsTrue(analysis.Groups[0].HeldBack.Count == 0);
    }

    [TestMethod]
    public void A_removal_that_leaves_nothing_is_refused()
    {
        var model = Net().Conv("x", "a", 3, 4).Conv("a", "y", 4, 2).Output("y");
        var analysis = ChannelAnalysis.Of(model.Model, ValueTypes.Infer(model.Model));
        var all = new Dictionary<int, IReadOnlyList<int>> { [0] = [0, 1, 2, 3] };
        StringAssert.Contains(ChannelSurgery.Vanishing(analysis, all), "nothing would be left");
        Assert.ThrowsExactly<ArgumentException>(() => ChannelSurgery.Remove(model.Model.Clone(), analysis, all));
        Assert.IsNull(ChannelSurgery.Vanishing(analysis, new Dictionary<int, IReadOnlyList<int>> { [0] = [0, 1, 2] }));
    }

    private static SmallModel Net() => new SmallModel().Input("x", DataType.Float, -1, 3, 6, 6);
}
