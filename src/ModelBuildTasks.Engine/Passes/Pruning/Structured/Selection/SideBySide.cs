using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured.Selection;

/// <summary>Two models that are clones of one, in one graph: they share the inputs, and the second one's values have other names.</summary>
internal sealed class SideBySide
{
    private readonly Dictionary<string, string> _names = [];
    private readonly NameAllocator _free;

    /// <summary>Puts the second beside a clone of the first.</summary>
    public SideBySide(OnnxModel first, OnnxModel second)
    {
        Model = first.Clone();
        _free = new NameAllocator(Model);
        var other = second.Graph.Clone();
        var inputs = other.Input.Select(i => i.Name).ToHashSet();
        foreach (var name in GraphEdit.Definitions(other).Where(n => !inputs.Contains(n) || other.Initializer.Any(i => i.Name == n)))
            _names[name] = _free.Next($"second/{name}");
        GraphEdit.ReplaceReads(other, _names);
        foreach (var node in other.Node)
        {
            for (var i = 0; i < node.Output.Count; i++)
                node.Output[i] = Second(node.Output[i]);
            if (node.Name.Length > 0)
                node.Name = $"second/{node.Name}";
        }

        foreach (var initializer in other.Initializer)
            initializer.Name = Second(initializer.Name);
        foreach (var sparse in other.SparseInitializer)
            sparse.Values.Name = Second(sparse.Values.Name);
        Model.Graph.Node.AddRange(other.Node);
        Model.Graph.Initializer.AddRange(other.Initializer);
        Model.Graph.SparseInitializer.AddRange(other.SparseInitializer);
        // Types of inner values are inferred.
        Model.Graph.ValueInfo.Clear();
    }

    /// <summary>Both models.</summary>
    public OnnxModel Model { get; }

    /// <summary>What a value of the second is called.</summary>
    public string Second(string name) => _names.GetValueOrDefault(name, name);

    /// <summary>Joins a value of the second with the same one of the first, in this order, along an axis.</summary>
    /// <returns>The name of the joined value.</returns>
    public string Joined(string name, int axis)
    {
        var joined = _free.Next($"both/{name}");
        Model.Graph.Node.Add(GraphExtensions.Node("Concat", [Second(name), name], [joined]).Set("axis", axis));
        return joined;
    }
}
