using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.DistillationSteps;
using ModelBuildTasks.Engine.Passes.DistillationSteps.Blocks;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Tests.Passes.Distillation;

[TestClass]
public sealed class BlockPartitionTests
{
    [TestMethod]
    public void Residual_blocks_stay_whole_and_activations_belong_to_the_layer_in_front()
    {
        var small = Start("x", "stem", "h0");
        for (var i = 0; i < 3; i++)
        {
            small.Random($"a{i}", i, 8, 8, 3, 3).Random($"b{i}", i + 10, 8, 8, 3, 3)
                .Node("Conv", $"h{i},a{i}", $"p{i}", ("pads", new long[] { 1, 1, 1, 1 })).Node("Relu", $"p{i}", $"q{i}")
                .Node("Conv", $"q{i},b{i}", $"r{i}", ("pads", new long[] { 1, 1, 1, 1 })).Node("Add", $"r{i},h{i}", $"s{i}").Node("Relu", $"s{i}", $"h{i + 1}");
        }

        var blocks = Blocks(small.Node("GlobalAveragePool", "h3", "g").Node("Flatten", "g", "f").Random("v", 30, 8, 5).Node("MatMul", "f,v", "y").Output("y").Model);
        CollectionAssert.AreEqual(new[] { "h1", "h2", "f", "y" }, blocks.Select(b => b.Ends.Single()).ToArray());
        CollectionAssert.AreEqual(new[] { "Conv", "Relu", "Conv", "Add", "Relu" }, blocks[1].Nodes.Select(n => n.OpType).ToArray());
    }

    [TestMethod]
    public void Layers_without_branches_are_put_together_to_a_few()
    {
        var small = Start("x", "stem", "h0");
        for (var i = 0; i < 6; i++)
            small.Random($"a{i}", i, 8, 8, 3, 3).Node("Conv", $"h{i},a{i}", $"p{i}", ("pads", new long[] { 1, 1, 1, 1 })).Node("Relu", $"p{i}", $"h{i + 1}");
        var model = small.Node("GlobalAveragePool", "h6", "y").Output("y").Model;
        CollectionAssert.AreEqual(new[] { "h2", "h5", "y" }, Blocks(model).Select(b => b.Ends.Single()).ToArray());
        // What the teacher does not have cannot be compared: blocks go on to the next that it has.
        CollectionAssert.AreEqual(new[] { "h3", "y" }, Blocks(model, known: v => v is "h3" or "h4").Select(b => b.Ends.Single()).ToArray());
    }

    [TestMethod]
    public void A_network_whose_ends_are_linked_is_trained_layer_by_layer()
    {
        var small = Start("x", "stem", "h0");
        for (var i = 0; i < 5; i++)
            small.Random($"a{i}", i, 8, 8, 3, 3).Node("Conv", $"h{i},a{i}", $"p{i}", ("pads", new long[] { 1, 1, 1, 1 })).Node("Relu", $"p{i}", $"h{i + 1}");
        var (value, count) = ("h5", 5);
        for (var i = 4; i >= 0; i--, count++)
        {
            small.Node("Concat", $"{value},h{i}", $"c{i}", ("axis", 1)).Random($"u{i}", i + 20, 8, 16, 1, 1).Node("Conv", $"c{i},u{i}", $"d{i}").Node("Relu", $"d{i}", $"e{i}");
            value = $"e{i}";
        }

        var blocks = Blocks(small.Node("GlobalAveragePool", value, "y").Output("y").Model);
        CollectionAssert.AreEqual(new[] { "h0", "h1", "h2", "h3", "h4", "h5", "e4", "e3", "e2", "e1", "y" }, blocks.Select(b => b.Ends.Single()).ToArray());
    }

    [TestMethod]
    public void Names_and_the_order_of_nodes_decide_nothing()
    {
        OnnxModel model(Func<string, string> name, bool turned)
        {
            var small = new SmallModel().Input("x", 4, 6);
            small.Random(name("w"), 1, 6, 6).Random(name("v"), 2, 6, 6).Random(name("u"), 3, 6, 6).Random(name("t"), 4, 6, 6).Random(name("s"), 5, 6, 6);
            small.Node("MatMul", $"x,{name("w")}", name("a")).Node("Relu", name("a"), name("b"));
            if (turned)
                small.Node("MatMul", $"{name("b")},{name("u")}", name("d")).Node("MatMul", $"{name("b")},{name("v")}", name("c"));
            else
                small.Node("MatMul", $"{name("b")},{name("v")}", name("c")).Node("MatMul", $"{name("b")},{name("u")}", name("d"));
            return small.Node("Mul", $"{name("c")},{name("d")}", name("e")).Node("MatMul", $"{name("e")},{name("t")}", name("f")).Node("Relu", name("f"), name("g"))
                .Node("MatMul", $"{name("g")},{name("s")}", "y").Output("y").Model;
        }

        var plain = Blocks(model(n => n, false)).Select(b => b.Ends.Single()).ToList();
        CollectionAssert.AreEqual(new[] { "e", "y" }, plain);
        CollectionAssert.AreEqual(plain.Select(e => e == "y" ? e : $"z{e}").ToList(), Blocks(model(n => $"z{n}", true)).Select(b => b.Ends.Single()).ToList());
    }

    [TestMethod]
    public void Values_with_positions_in_front_of_samples_are_told_from_others()
    {
        // [sample, position, channel] and [position, sample, channel] have the same shape where there are as many of both.
        var model = new SmallModel().Input("x", 4, 4, 6).Random("w", 1, 6, 6)
            .Node("MatMul", "x,w", "a").Node("Transpose", "a", "b", ("perm", new long[] { 1, 0, 2 })).Node("Relu", "b", "c").Node("Transpose", "c", "y", ("perm", new long[] { 1, 0, 2 })).Output("y").Model;
        var x = SmallModel.Tensor(1, 4, 4, 6);
        var formed = new FormedModel(model, ["y"], new Dictionary<string, Tensor> { ["x"] = x }, []);
        Dictionary<string, Tensor> batch(int[] numbers) => new() { ["x"] = x with { Bytes = [.. numbers.SelectMany(n => x.Bytes[(n * 96)..((n + 1) * 96)])] } };
        CollectionAssert.AreEquivalent(new[] { "a", "y" }, SampleAxis.Of(formed.Graph, formed.Flow, 4, batch, formed.Weights, 1).ToArray());
    }

    [TestMethod]
    public void A_part_of_a_model_computes_what_the_model_does()
    {
        var model = new SmallModel().Input("x", 2, 6).Random("w", 1, 6, 6).Random("v", 2, 6, 6)
            .Node("MatMul", "x,w", "a").Node("Relu", "a", "b").Node("Transpose", "v", "t").Node("MatMul", "b,t", "c").Node("Add", "c,a", "y").Output("y").Model;
        var x = new Dictionary<string, Tensor> { ["x"] = SmallModel.Tensor(1, 2, 6) };
        var formed = new FormedModel(model, ["y"], x, []);
        var part = formed.Part(["y"], v => v is "a" or "b");
        CollectionAssert.AreEquivalent(new[] { "a", "b" }, part.Graph.Input.Select(i => i.Name).ToArray());
        CollectionAssert.AreEqual(new[] { "v" }, part.Graph.Initializer.Select(t => t.Name).ToArray());
        var open = new List<IDisposable>();
        var values = formed.Values(["a", "b", "y"], 1, open)(x);
        using var session = new Engine.Execution.Session(part, new());
        CollectionAssert.AreEqual(values["y"].ToFloats(), session.Run(new Dictionary<string, Tensor> { ["a"] = values["a"], ["b"] = values["b"] })["y"].ToFloats());
        open.ForEach(o => o.Dispose());
    }

    [TestMethod]
    public void Samples_beyond_the_bound_of_memory_come_back_from_a_file()
    {
        foreach (var memory in new[] { 0L, 100, 1L << 20 })
        {
            using var store = new SampleStore(memory);
            for (var first = 0; first < 9; first += 4)
                store.Add("x", SmallModel.Tensor(first, 4, 3, 2), 4, Math.Min(4, 9 - first));
            var batch = store.Batch([8, 1, 5])["x"];
            CollectionAssert.AreEqual(new long[] { 3, 3, 2 }, batch.Shape);
            float[] sample(int first, int i) => SmallModel.Tensor(first, 4, 3, 2).ToFloats()[(i * 6)..((i + 1) * 6)];
            CollectionAssert.AreEqual((float[])[.. sample(8, 0), .. sample(0, 1), .. sample(4, 1)], batch.ToFloats());
        }
    }

    private static SmallModel Start(string input, string weight, string output) => new SmallModel().Input(input, 2, 3, 6, 6).Random(weight, 99, 8, 3, 3, 3)
        .Node("Conv", $"{input},{weight}", "stem/conv", ("pads", new long[] { 1, 1, 1, 1 })).Node("Relu", "stem/conv", output);

    private static IReadOnlyList<Block> Blocks(OnnxModel model, Func<string, bool>? known = null)
    {
        var shape = model.Inputs[0].Shape!;
        var formed = new FormedModel(model, ["y"], new Dictionary<string, Tensor> { ["x"] = SmallModel.Tensor(1, shape) }, []);
        return BlockPartition.Of(formed.Graph, formed.Flow, formed.Weights.Keys, known ?? (_ => true));
    }
}
