using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Statistics;

/// <summary>
/// A copy of a model that shows values inside it as outputs. A value of a branch of an If leaves through outputs that the If gets in addition; the
/// other branch gives an empty tensor in its place, which says that the branch was not taken. What a Loop or a Scan makes is not shown: a run has
/// many values of it.
/// </summary>
internal sealed class Instrumentation
{
    private readonly Dictionary<int, (GraphProto Graph, NodeProto? If, int Outer)> _graphs = [];
    private readonly Dictionary<(int Graph, string Value), string> _shown = [];
    private readonly HashSet<string> _outputs;
    private readonly NameAllocator _names;

    /// <summary>Copies the model.</summary>
    public Instrumentation(OnnxModel model)
    {
        Model = model.Clone();
        _names = new NameAllocator(Model);
        _outputs = [.. Model.Graph.Output.Select(o => o.Name)];
        var next = 0;
        Walk(Model.Graph, null, 0, _graphs, ref next);
    }

    /// <summary>The copy.</summary>
    public OnnxModel Model { get; }

    /// <summary>The numbers of the graphs whose values can be shown: the main graph and the branches of Ifs, see <see cref="GraphIndex.Number"/>.</summary>
    public static IReadOnlySet<int> Observable(GraphProto graph)
    {
        var graphs = new Dictionary<int, (GraphProto, NodeProto?, int)>();
        var next = 0;
        Walk(graph, null, 0, graphs, ref next);
        return graphs.Keys.ToHashSet();
    }

    /// <summary>Makes a value an output of the model.</summary>
    /// <param name="graph">The graph in which it is read.</param>
    /// <param name="value">Its name there; inside a branch that of a float32 tensor.</param>
    /// <returns>The name of the output, or null where the graph shows nothing.</returns>
    public string? Show(int graph, string value)
    {
        if (!_graphs.TryGetValue(graph, out var place))
            return null;
        if (place.If is null)
        {
            if (_outputs.Add(value))
                Model.Graph.Output.Add(new ValueInfoProto { Name = value });
            return value;
        }

        if (_shown.TryGetValue((graph, value), out var output))
            return output;
        // A branch may not give a value from outside, or one of its own twice, as an output: a node has to stand between.
        output = _names.Next("seen");
        place.Graph.Node.Add(GraphExtensions.Node("Identity", [value], [output]));
        for (; place.If is not null; place = _graphs[place.Outer])
        {
            foreach (var branch in place.If.Bodies())
                branch.Output.Add(new ValueInfoProto { Name = ReferenceEquals(branch, place.Graph) ? output : Empty(branch) });
            output = _names.Next("seen");
            place.If.Output.Add(output);
        }

        _outputs.Add(output);
        Model.Graph.Output.Add(new ValueInfoProto { Name = output });
        return _shown[(graph, value)] = output;
    }

    private string Empty(GraphProto branch)
    {
        var name = _names.Next("unseen");
        branch.Node.Add(GraphExtensions.Node("Constant", [], [name]).Set("value", Model.CreateTensor("", [0], [])));
        return name;
    }

    // Numbers are given in the order of WithBodies.
    private static void Walk(GraphProto graph, NodeProto? branching, int outer, Dictionary<int, (GraphProto, NodeProto?, int)>? graphs, ref int next)
    {
        var number = next++;
        graphs?.Add(number, (graph, branching, outer));
        foreach (var node in graph.Node)
        {
            foreach (var body in node.Bodies())
                Walk(body, node, number, node.Is("If") ? graphs : null, ref next);
        }
    }
}
