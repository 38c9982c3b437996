using AttributeType = ModelBuildTasks.Engine.Onnx.AttributeProto.Types.AttributeType;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Onnx;

/// <summary>
/// Who makes and who reads each value of one graph, and which values are constant. A snapshot: build it anew after edits.
/// A node that reads a value inside a nested body counts as its consumer. Names of outer graphs are found through
/// the index of the graph around this one.
/// </summary>
internal sealed class GraphIndex
{
    private readonly Dictionary<string, NodeProto> _producers = [];
    private readonly Dictionary<string, List<NodeProto>> _consumers = [];
    private readonly Dictionary<string, TensorProto> _constants = [];
    private readonly HashSet<string> _inputs = [];
    private readonly HashSet<string> _outputs = [];
    private readonly GraphIndex? _outer;
    private int? _number;

    /// <summary>Indexes <paramref name="graph"/>; <paramref name="model"/> takes the tensors of scalar and list Constants.</summary>
    public GraphIndex(OnnxModel model, GraphProto graph, GraphIndex? outer = null)
    {
        _outer = outer;
        Graph = graph;
        foreach (var initializer in graph.Initializer)
            _constants.TryAdd(initializer.Name, initializer);
        foreach (var input in graph.Input)
            _inputs.Add(input.Name);
        foreach (var output in graph.Output)
            _outputs.Add(output.Name);
        foreach (var node in graph.Node)
        {
            foreach (var output in node.Output.Where(o => o.Length > 0))
                _producers.TryAdd(output, node);
            if (node.Is("Constant") && node.Output.Count == 1 && ConstantTensor(model, node) is { } tensor)
                _constants.TryAdd(node.Output[0], tensor);
            foreach (var name in Reads(node).Distinct())
            {
                if (!_consumers.TryGetValue(name, out var list))
                    _consumers[name] = list = [];
                list.Add(node);
            }
        }
    }

    /// <summary>The graph that was indexed.</summary>
    public GraphProto Graph { get; }

    /// <summary>
    /// The graph's place among all graphs of its model, as <see cref="GraphExtensions.WithBodies"/> gives them: 0 is the main graph. The same in
    /// every clone, where names may repeat from body to body.
    /// </summary>
    public int Number => _number ??= _outer is null ? 0 : Outermost.Graph.WithBodies().TakeWhile(g => !ReferenceEquals(g, Graph)).Count();

    private GraphIndex Outermost => _outer?.Outermost ?? this;

    /// <summary>The <see cref="Number"/> of the graph in which a name that is read here is defined.</summary>
    public int Home(string name) =>
        _outer is null || _constants.ContainsKey(name) || _producers.ContainsKey(name) || _inputs.Contains(name) ? Number : _outer.Home(name);

    /// <summary>The node that makes a value in this graph; null for inputs, initializers and outer values.</summary>
    public NodeProto? Producer(string name) => _producers.GetValueOrDefault(name);

    /// <summary>The nodes of this graph that read a value, directly or in a body; each once.</summary>
    public IReadOnlyList<NodeProto> Consumers(string name) => _consumers.TryGetValue(name, out var list) ? list : [];

    /// <summary>Whether the value leaves the graph.</summary>
    public bool IsOutput(string name) => _outputs.Contains(name);

    /// <summary>Whether the value is listed as an input of the graph; with IR 3 initializers are, too.</summary>
    public bool IsInput(string name) => _inputs.Contains(name);

    /// <summary>
    /// The tensor of a constant value: an initializer (also one listed as an input) or the output of a <c>Constant</c>
    /// node, here or in an outer graph. Null when the value is computed.
    /// </summary>
    public TensorProto? Constant(string name)
    {
        if (name.Length == 0)
            return null;
        if (_constants.TryGetValue(name, out var tensor))
            return tensor;
        return _producers.ContainsKey(name) || _inputs.Contains(name) ? null : _outer?.Constant(name);
    }

    /// <summary>All names that a node reads: its inputs, and what its bodies take from outside.</summary>
    public static IEnumerable<string> Reads(NodeProto node)
    {
        foreach (var input in node.Input)
        {
            if (input.Length > 0)
                yield return input;
        }

        foreach (var body in node.Bodies())
        {
            foreach (var name in Captures(body))
                yield return name;
        }
    }

    /// <summary>The names that a body takes from the graphs around it.</summary>
    public static HashSet<string> Captures(GraphProto body)
    {
        var local = body.Input.Select(i => i.Name)
            .Concat(body.Initializer.Select(i => i.Name))
            .Concat(body.Node.SelectMany(n => n.Output))
            .ToHashSet();
        var captured = body.Node.SelectMany(Reads).Where(n => !local.Contains(n)).ToHashSet();
        captured.UnionWith(body.Output.Select(o => o.Name).Where(n => !local.Contains(n)));
        return captured;
    }

    private static TensorProto? ConstantTensor(OnnxModel model, NodeProto node)
    {
        var attribute = node.Attribute.FirstOrDefault();
        return attribute?.Name switch
        {
            "value" => attribute.T,
            "value_float" => model.CreateTensor("", [], attribute.F),
            "value_floats" => model.CreateTensor("", [attribute.Floats.Count], [.. attribute.Floats]),
            "value_int" => model.CreateTensor<long>("", DataType.Int64, [], [attribute.I]),
            "value_ints" => model.CreateTensor("", [.. attribute.Ints]),
            _ => null,
        };
    }
}
