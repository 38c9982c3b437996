using Google.Protobuf.Collections;

namespace ModelBuildTasks.Engine.Onnx;

/// <summary>
/// Edits of a graph that keep the graphs nested in it right. Messages are compared by reference here: two nodes with the
/// same content are still two nodes.
/// </summary>
internal static class GraphEdit
{
    /// <summary>The index of the main graph and of every body in it, outermost first. Each is built when it is asked for, so that edits made meanwhile in outer graphs are seen.</summary>
    public static IEnumerable<GraphIndex> Indexes(OnnxModel model) => Indexes(model, model.Graph, null);

    /// <summary>How a node is called in reports: its name, or its first output's where it has none.</summary>
    public static string DisplayName(this NodeProto node) =>
        node.Name.Length > 0 ? node.Name : node.Output.FirstOrDefault(o => o.Length > 0) ?? node.OpType;

    /// <summary>Every name that a graph defines itself: inputs, initializers and node outputs.</summary>
    public static HashSet<string> Definitions(GraphProto graph)
    {
        var names = graph.Input.Select(i => i.Name)
            .Concat(graph.Initializer.Select(i => i.Name))
            .Concat(graph.SparseInitializer.Where(s => s.Values is not null).Select(s => s.Values.Name))
            .Concat(graph.Node.SelectMany(n => n.Output))
            .ToHashSet();
        names.Remove("");
        return names;
    }

    /// <summary>Every name that is defined in the bodies below a graph. A value must not be renamed to one of them: a body would read its own.</summary>
    public static HashSet<string> NestedDefinitions(GraphProto graph) =>
        graph.WithBodies().Skip(1).SelectMany(Definitions).ToHashSet();

    /// <summary>
    /// Makes all nodes of a graph, and of the bodies that capture a value, read another value instead. Chains in the map
    /// (a to b, b to c) are followed. Names of node outputs and of the graph's own outputs stay.
    /// </summary>
    public static void ReplaceReads(GraphProto graph, IReadOnlyDictionary<string, string> map)
    {
        if (map.Count == 0)
            return;
        foreach (var node in graph.Node)
        {
            for (var i = 0; i < node.Input.Count; i++)
            {
                if (map.ContainsKey(node.Input[i]))
                    node.Input[i] = Resolve(map, node.Input[i]);
            }

            foreach (var body in node.Bodies())
                ReplaceCaptures(body, map);
        }
    }

    /// <summary>The end of a chain of replacements.</summary>
    public static string Resolve(IReadOnlyDictionary<string, string> map, string name)
    {
        while (map.TryGetValue(name, out var next))
            name = next;
        return name;
    }

    /// <summary>Removes nodes; the others keep their order.</summary>
    public static void RemoveNodes(GraphProto graph, IReadOnlySet<NodeProto> nodes) => Keep(graph.Node, n => !nodes.Contains(n));

    /// <summary>Removes initializers; the others keep their order.</summary>
    public static void RemoveInitializers(GraphProto graph, IReadOnlySet<TensorProto> tensors) => Keep(graph.Initializer, t => !tensors.Contains(t));

    /// <summary>Removes what does not fulfil a condition; the others keep their order.</summary>
    public static void Keep<T>(RepeatedField<T> list, Func<T, bool> condition)
    {
        var kept = list.Where(condition).ToList();
        if (kept.Count == list.Count)
            return;
        list.Clear();
        list.AddRange(kept);
    }

    /// <summary>Removes the inputs that have an initializer, as files of IR version 3 had to list them.</summary>
    /// <returns>How many there were.</returns>
    public static int RemoveInitializedInputs(GraphProto graph)
    {
        var count = graph.Input.Count;
        var initialized = graph.Initializer.Select(t => t.Name).ToHashSet();
        Keep(graph.Input, i => !initialized.Contains(i.Name));
        return count - graph.Input.Count;
    }

    /// <summary>Puts a tensor in the place of an initializer of the same graph.</summary>
    public static void ReplaceInitializer(GraphProto graph, TensorProto old, TensorProto replacement)
    {
        for (var i = 0; i < graph.Initializer.Count; i++)
        {
            if (ReferenceEquals(graph.Initializer[i], old))
                graph.Initializer[i] = replacement;
        }
    }

    /// <summary>An empty set of messages that compares by reference.</summary>
    public static HashSet<T> Set<T>() where T : class => new(ReferenceEqualityComparer.Instance);

    private static void ReplaceCaptures(GraphProto body, IReadOnlyDictionary<string, string> map)
    {
        var local = Definitions(body);
        var captured = local.Overlaps(map.Keys)
            ? map.Where(p => !local.Contains(p.Key)).ToDictionary(p => p.Key, p => Resolve(map, p.Value))
            : map;
        foreach (var output in body.Output.Where(o => captured.ContainsKey(o.Name)))
            output.Name = local.Contains(output.Name) ? output.Name : Resolve(captured, output.Name);
        ReplaceReads(body, captured);
    }

    private static IEnumerable<GraphIndex> Indexes(OnnxModel model, GraphProto graph, GraphIndex? outer)
    {
        yield return new GraphIndex(model, graph, outer);
        // Built again: the caller may have edited the graph before it asks for the bodies.
        GraphIndex? index = null;
        foreach (var body in graph.Node.ToList().SelectMany(n => n.Bodies()))
        {
            index ??= new GraphIndex(model, graph, outer);
            foreach (var nested in Indexes(model, body, index))
                yield return nested;
        }
    }
}
