using ModelBuildTasks.Engine.Autodiff;
using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.DistillationSteps.Blocks;

/// <summary>What the values of a graph in training form depend on: samples, weights, or both.</summary>
internal sealed class ValueFlow
{
    private static readonly HashSet<string> _none = [];

    private readonly HashSet<string> _fed;
    private readonly Dictionary<string, HashSet<string>> _prepared = [];
    private readonly HashSet<string> _moved;

    /// <param name="graph">The graph; its weights are inputs.</param>
    /// <param name="weights">Names of the weights.</param>
    public ValueFlow(ShapedGraph graph, IReadOnlyCollection<string> weights)
    {
        _moved = [.. weights];
        _fed = [.. graph.Model.Graph.Input.Select(i => i.Name).Where(i => !_moved.Contains(i))];
        foreach (var weight in weights)
            _prepared[weight] = [weight];
        foreach (var node in graph.Model.Graph.Node)
        {
            var reads = GraphIndex.Reads(node).ToList();
            var (moved, fed) = (reads.Exists(_moved.Contains), reads.Exists(_fed.Contains));
            if (moved)
                _moved.UnionWith(node.Output);
            if (fed)
                _fed.UnionWith(node.Output);
            if (!moved || fed)
                continue;
            foreach (var output in node.Output)
                _prepared[output] = [.. reads.SelectMany(Prepared)];
        }
    }

    /// <summary>Whether a value depends on the sample.</summary>
    public bool IsFed(string name) => _fed.Contains(name);

    /// <summary>Whether a value depends on the sample and on weights: it is other in student and teacher.</summary>
    public bool IsActivation(string name) => _fed.Contains(name) && _moved.Contains(name);

    /// <summary>The weights in a value that depends on nothing else, as a transposed weight.</summary>
    public IReadOnlySet<string> Prepared(string name) => _prepared.GetValueOrDefault(name) ?? _none;

    /// <summary>The weights that a node reads, directly or prepared.</summary>
    public IEnumerable<string> Weights(NodeProto node) => GraphIndex.Reads(node).SelectMany(Prepared);
}
