using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.HalfPrecision;

/// <summary>A graph of a model with what reads its own values, here and in the bodies below. A snapshot: made anew after edits.</summary>
internal sealed class Scope
{
    private readonly Dictionary<string, List<(NodeProto Node, int Input)>> _readers = [];
    private readonly HashSet<string> _own;
    private readonly HashSet<string> _results = [];

    private Scope(GraphProto graph, Scope? outer)
    {
        (Graph, Outer) = (graph, outer);
        _own = GraphEdit.Definitions(graph);
    }

    public GraphProto Graph { get; }

    /// <summary>The graph around this one; null for the main graph.</summary>
    public Scope? Outer { get; }

    /// <summary>The main graph and all bodies, outermost first.</summary>
    public static IReadOnlyList<Scope> All(OnnxModel model)
    {
        var scopes = new List<Scope>();
        Walk(model.Graph, null, scopes);
        return scopes;
    }

    /// <summary>The graph in which a name that is read here is defined; null where it is nowhere.</summary>
    public Scope? Home(string name) => _own.Contains(name) ? this : Outer?.Home(name);

    /// <summary>Who reads a value of this graph, in the order of nodes.</summary>
    public IReadOnlyList<(NodeProto Node, int Input)> Readers(string name) => _readers.GetValueOrDefault(name) ?? [];

    /// <summary>Whether a value of this graph is an output of it or of a body below.</summary>
    public bool IsResult(string name) => _results.Contains(name);

    private static void Walk(GraphProto graph, Scope? outer, List<Scope> scopes)
    {
        var scope = new Scope(graph, outer);
        scopes.Add(scope);
        foreach (var node in graph.Node)
        {
            for (var i = 0; i < node.Input.Count; i++)
                scope.Home(node.Input[i])?.Read(node, i);
            foreach (var body in node.Bodies())
                Walk(body, scope, scopes);
        }

        foreach (var output in graph.Output)
            scope.Home(output.Name)?._results.Add(output.Name);
    }

    private void Read(NodeProto node, int input)
    {
        if (!_readers.TryGetValue(node.Input[input], out var list))
            _readers[node.Input[input]] = list = [];
        list.Add((node, input));
    }
}
