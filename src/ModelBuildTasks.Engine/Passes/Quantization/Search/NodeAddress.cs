using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.Quantization.Search;

/// <summary>A node's place in a model, the same in every clone: the number of its graph (outermost first, as <see cref="GraphExtensions.WithBodies"/> gives them) and its index there.</summary>
internal readonly record struct NodeAddress(int Graph, int Index);

/// <summary>The nodes of a model by their addresses. A snapshot: made before the model is edited.</summary>
internal sealed class NodeMap
{
    private readonly List<(GraphProto Graph, NodeProto[] Nodes)> _graphs;
    private readonly Dictionary<NodeProto, NodeAddress> _addresses = new(ReferenceEqualityComparer.Instance);

    public NodeMap(OnnxModel model)
    {
        _graphs = [.. model.Graph.WithBodies().Select(g => (g, g.Node.ToArray()))];
        for (var g = 0; g < _graphs.Count; g++)
        {
            for (var i = 0; i < _graphs[g].Nodes.Length; i++)
                _addresses[_graphs[g].Nodes[i]] = new(g, i);
        }
    }

    public NodeAddress this[NodeProto node] => _addresses[node];

    public NodeProto Node(NodeAddress address) => _graphs[address.Graph].Nodes[address.Index];

    public GraphProto Graph(NodeAddress address) => _graphs[address.Graph].Graph;
}
