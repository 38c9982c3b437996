using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Quantization.Search;

namespace ModelBuildTasks.Engine.Tests.Passes.Quantization.Search;

[TestClass]
public sealed class NodeMapTests
{
    [TestMethod]
    public void An_address_means_the_same_node_and_graph_in_every_clone_also_for_equal_nodes_and_in_bodies()
    {
        using var model = QuantizeTests.Clean("silero-vad/silero_vad_16k_op15.onnx");
        // Messages compare by value: two equal nodes must not be taken for one another.
        model.Graph.Node.Add(model.Graph.Node[0].Clone());
        using var clone = model.Clone();
        var (from, to) = (new NodeMap(model), new NodeMap(clone));
        var graphs = model.Graph.WithBodies().Zip(clone.Graph.WithBodies()).ToList();
        Assert.IsGreaterThan(1, graphs.Count);
        foreach (var (graph, same) in graphs)
        {
            foreach (var (node, copy) in graph.Node.Zip(same.Node))
            {
                Assert.AreSame(copy, to.Node(from[node]));
                Assert.AreSame(same, to.Graph(from[node]));
            }
        }
    }

    [TestMethod]
    public void Addresses_are_of_the_model_as_it_was()
    {
        var small = QuantizeTests.ConvChain("Relu");
        var map = new NodeMap(small.Model);
        var last = small.Graph.Node[2];
        small.Graph.Node.RemoveAt(0);
        small.Graph.Node.Insert(0, SmallModel.NodeOf("Neg", "x", "n"));
        small.Graph.Node.Insert(0, SmallModel.NodeOf("Abs", "x", "m"));
        Assert.AreEqual(new NodeAddress(0, 2), map[last]);
        Assert.AreSame(last, map.Node(new NodeAddress(0, 2)));
        Assert.AreEqual("Conv", map.Node(new NodeAddress(0, 0)).OpType);
    }
}
