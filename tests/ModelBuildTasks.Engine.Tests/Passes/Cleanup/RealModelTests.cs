using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;

namespace ModelBuildTasks.Engine.Tests.Passes;

[TestClass]
public sealed class RealModelTests
{
    [TestMethod]
    [DataRow("digits_mobile/digits_mobile.onnx", 1e-4)]
    [DataRow("gtcrn/gtcrn_simple.onnx", 1e-4)]
    [DataRow("iris/iris_network.onnx", 0)]
    [DataRow("llama-aidreams/aidreams260k.onnx", 0)]
    [DataRow("mnist/mnist.onnx", 1e-5)]
    [DataRow("silero-vad/silero_vad_16k_op15.onnx", 1e-5)]
    [DataRow("yunet/yunet_s_dynamic.onnx", 0)]
    public void Clean_up_keeps_the_outputs_of_a_real_model(string file, double most)
    {
        using var model = OnnxModel.Load(TestData.Path(file));
        var before = model.ToBytes();

        var clean = Outputs.Clean(model).Model;

        Assert.IsLessThanOrEqualTo(most, Outputs.Difference(model, clean));
        CollectionAssert.AreEqual(before, model.ToBytes(), "the original was changed");
    }

    [TestMethod]
    [DataRow("digits_mobile/digits_mobile.onnx", 15)]
    [DataRow("gtcrn/gtcrn_simple.onnx", 11)]
    public void All_batch_norms_behind_convolutions_are_folded(string file, int count)
    {
        using var model = OnnxModel.Load(TestData.Path(file));

        var result = Outputs.Clean(model);

        Assert.AreEqual(count, result.Decisions.Count(d => d is { Op: "BatchNormalization", What: "folded" }));
        Assert.IsFalse(result.Model.Graph.WithBodies().SelectMany(g => g.Node).Any(n => n.OpType == "BatchNormalization"));
        StringAssert.Contains(result.Summary, $"{count} batch norms folded");
    }

    [TestMethod]
    public void Constants_in_bodies_become_weights_and_the_weights_that_bodies_reorder_are_stored_in_order()
    {
        using var model = OnnxModel.Load(TestData.Path("silero-vad/silero_vad_16k_op15.onnx"));

        var result = Outputs.Clean(model);

        Assert.HasCount(160, Nodes(model).Where(n => n.OpType == "Constant").ToList());
        Assert.IsEmpty(result.Model.Graph.WithBodies().SelectMany(g => g.Node.Where(n => n.OpType == "Constant" && g.Output.All(o => o.Name != n.Output[0]))).ToList());
        foreach (var index in GraphEdit.Indexes(result.Model))
        {
            foreach (var lstm in index.Graph.Node.Where(n => n.OpType == "LSTM"))
                Assert.IsTrue(index.Constant(lstm.Input[1]) is not null && index.Constant(lstm.Input[2]) is not null);
        }

        // Two branches reorder the same weight: its new order is stored once.
        Assert.IsLessThan(model.ToBytes().Length, result.Model.ToBytes().Length);
    }

    [TestMethod]
    [DataRow("digits_mobile/digits_mobile.onnx")]
    [DataRow("gtcrn/gtcrn_simple.onnx")]
    [DataRow("mnist/mnist.onnx")]
    [DataRow("silero-vad/silero_vad_16k_op15.onnx")]
    public void Names_of_values_and_the_order_of_nodes_decide_nothing(string file)
    {
        using var model = OnnxModel.Load(TestData.Path(file));
        foreach (var (node, i) in Nodes(model).Select((n, i) => (n, i)))
            node.Name = $"node{i}";
        var expected = Outputs.Clean(model);

        var renamed = Outputs.Clean(Renamed(model));
        var reordered = Outputs.Clean(Reordered(model));

        Assert.IsNotEmpty(expected.Decisions);
        CollectionAssert.AreEqual(Lines(expected), Lines(renamed));
        CollectionAssert.AreEqual(Lines(expected), Lines(reordered));
        Assert.AreEqual(expected.Summary, renamed.Summary);
        Assert.AreEqual(expected.Summary, reordered.Summary);
    }

    [TestMethod]
    public void Clean_up_of_a_clean_model_changes_nothing()
    {
        using var model = OnnxModel.Load(TestData.Path("silero-vad/silero_vad_16k_op15.onnx"));
        var once = Outputs.Clean(model).Model;

        var twice = Outputs.Clean(once);

        CollectionAssert.AreEqual(once.ToBytes(), twice.Model.ToBytes());
        Assert.AreEqual("nothing to clean up", twice.Summary);
    }

    private static List<string> Lines(PassResult result) => [.. result.Decisions.Select(d => d.ToString()).Order(StringComparer.Ordinal)];

    private static IEnumerable<NodeProto> Nodes(OnnxModel model) => model.Graph.WithBodies().SelectMany(g => g.Node);

    /// <summary>Every value has another name, graph inputs and outputs, too; names sort the other way round.</summary>
    private static OnnxModel Renamed(OnnxModel model)
    {
        var clone = model.Clone();
        var names = new Dictionary<string, string>();
        string New(string name) => name.Length == 0 ? name : names.TryGetValue(name, out var known) ? known : names[name] = $"v{100000 - names.Count}";
        foreach (var graph in clone.Graph.WithBodies().ToList())
        {
            foreach (var value in graph.Input.Concat(graph.Output).Concat(graph.ValueInfo))
                value.Name = New(value.Name);
            foreach (var tensor in graph.Initializer)
                tensor.Name = New(tensor.Name);
            foreach (var node in graph.Node)
            {
                for (var i = 0; i < node.Input.Count; i++)
                    node.Input[i] = New(node.Input[i]);
                for (var i = 0; i < node.Output.Count; i++)
                    node.Output[i] = New(node.Output[i]);
            }
        }

        return clone;
    }

    /// <summary>Another topological order: of the nodes that can come next, always the last.</summary>
    private static OnnxModel Reordered(OnnxModel model)
    {
        var clone = model.Clone();
        foreach (var graph in clone.Graph.WithBodies().ToList())
        {
            var waiting = graph.Node.ToList();
            var made = waiting.SelectMany(n => n.Output).ToHashSet();
            graph.Node.Clear();
            while (waiting.Count > 0)
            {
                var next = waiting.FindLastIndex(n => !GraphIndex.Reads(n).Any(made.Contains));
                made.ExceptWith(waiting[next].Output);
                graph.Node.Add(waiting[next]);
                waiting.RemoveAt(next);
            }
        }

        return clone;
    }
}
