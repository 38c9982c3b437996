using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.CleanupSteps;

/// <summary>
/// Types and shapes that follow from the model's inputs and weights alone. What a file says of intermediate values and of
/// its outputs is not believed: exporters write the shapes of the one run they saw. Inferred when they are first asked for.
/// </summary>
internal sealed class InferredTypes(OnnxModel model)
{
    private IReadOnlyDictionary<string, ValueDescription>? _types;

    /// <summary>The element type of a value, or null where it is not sure.</summary>
    public DataType? Type(string name) => Find(name)?.Type;

    /// <summary>The dimensions of a value, -1 for those that are not sure; null where not even their number is.</summary>
    public long[]? Shape(string name) => Find(name)?.Shape;

    /// <summary>The model was edited: more may be known now.</summary>
    public void Forget() => _types = null;

    private ValueDescription? Find(string name) => (_types ??= Infer()).GetValueOrDefault(name);

    private Dictionary<string, ValueDescription> Infer()
    {
        var clone = model.Clone();
        var graphs = clone.Graph.WithBodies().ToList();
        foreach (var graph in graphs)
        {
            graph.ValueInfo.Clear();
            foreach (var value in ReferenceEquals(graph, clone.Graph) ? graph.Output : graph.Output.Concat(graph.Input))
                value.Type?.TensorType?.Shape = null;
        }

        // Graphs beside each other may use one name for different values.
        var once = graphs.SelectMany(GraphEdit.Definitions).GroupBy(n => n).Where(g => !g.Skip(1).Any()).Select(g => g.Key).ToHashSet();
        return ValueTypes.Infer(clone).Where(t => once.Contains(t.Key)).ToDictionary();
    }
}
