namespace ModelBuildTasks.Engine.Onnx;

/// <summary>Removes constants that no node of their graph or of its bodies reads and that are no output.</summary>
internal static class UnusedInitializers
{
    /// <summary>Removes them from a main graph and its bodies, with <c>Constant</c> nodes of the same kind.</summary>
    /// <returns>How many initializers were removed.</returns>
    public static int Remove(GraphProto graph)
    {
        var removed = 0;
        foreach (var body in graph.WithBodies().ToList())
        {
            var read = body.Node.SelectMany(GraphIndex.Reads).Concat(body.Output.Select(o => o.Name)).ToHashSet();
            var unused = GraphEdit.Set<TensorProto>();
            unused.UnionWith(body.Initializer.Where(t => !read.Contains(t.Name)));
            GraphEdit.RemoveInitializers(body, unused);
            removed += unused.Count;
            // IR 3 lists initializers as inputs; a true input that nothing reads is interface and stays.
            var names = unused.Select(t => t.Name).ToHashSet();
            if (ReferenceEquals(body, graph))
                GraphEdit.Keep(body.Input, i => !names.Contains(i.Name));
            GraphEdit.Keep(body.Node, n => !n.Is("Constant") || n.Output.Any(read.Contains));
        }

        return removed;
    }
}
