namespace ModelBuildTasks.Engine.Onnx;

/// <summary>Hands out value names that no graph of a model uses yet.</summary>
internal sealed class NameAllocator
{
    private readonly HashSet<string> _taken = [];

    /// <summary>Collects the names of all graphs of <paramref name="model"/>, bodies included.</summary>
    public NameAllocator(OnnxModel model)
    {
        foreach (var graph in model.Graph.WithBodies())
        {
            _taken.UnionWith(graph.Input.Select(i => i.Name));
            _taken.UnionWith(graph.Output.Select(o => o.Name));
            _taken.UnionWith(graph.Initializer.Select(i => i.Name));
            foreach (var node in graph.Node)
            {
                _taken.UnionWith(node.Input);
                _taken.UnionWith(node.Output);
            }
        }
    }

    /// <summary>A free name: <paramref name="wish"/> itself or with the smallest number behind it that makes it unique.</summary>
    public string Next(string wish)
    {
        var name = wish;
        for (var i = 1; !_taken.Add(name); i++)
            name = $"{wish}_{i}";
        return name;
    }
}
