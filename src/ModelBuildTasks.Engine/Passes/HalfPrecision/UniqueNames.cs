using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.HalfPrecision;

/// <summary>Renames values of bodies, so that a name means one value in the whole model. Names of the main graph stay.</summary>
internal static class UniqueNames
{
    public static void Apply(OnnxModel model)
    {
        var names = new NameAllocator(model);
        var taken = new HashSet<string>();
        foreach (var graph in model.Graph.WithBodies().ToList())
        {
            var map = GraphEdit.Definitions(graph).Where(taken.Contains).Order(StringComparer.Ordinal).ToDictionary(n => n, names.Next);
            if (map.Count > 0)
                Rename(graph, map);
            taken.UnionWith(GraphEdit.Definitions(graph));
        }
    }

    private static void Rename(GraphProto graph, Dictionary<string, string> map)
    {
        // Reads first: what is read is looked up by the old names.
        GraphEdit.ReplaceReads(graph, map);
        foreach (var value in graph.Input.Concat(graph.Output).Concat(graph.ValueInfo))
            value.Name = map.GetValueOrDefault(value.Name, value.Name);
        foreach (var tensor in graph.Initializer.Concat(graph.SparseInitializer.Select(s => s.Values).OfType<TensorProto>()))
            tensor.Name = map.GetValueOrDefault(tensor.Name, tensor.Name);
        foreach (var node in graph.Node)
        {
            for (var i = 0; i < node.Output.Count; i++)
                node.Output[i] = map.GetValueOrDefault(node.Output[i], node.Output[i]);
        }
    }
}
