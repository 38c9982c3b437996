using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.Quantization.Equalization;

/// <summary>New values for constants of the main graph, whether they are initializers or outputs of <c>Constant</c> nodes.</summary>
internal sealed class ConstantEdit(OnnxModel model, GraphIndex index, NameAllocator names)
{
    private readonly HashSet<string> _renewed = [];

    /// <summary>The float32 constant of the main graph under a name that only this input of this node reads, or null.</summary>
    public static TensorProto? Own(GraphIndex index, NodeProto node, int input)
    {
        var name = node.InputOrEmpty(input);
        return index.Constant(name) is { } tensor && (DataType)tensor.DataType == DataType.Float && tensor.HasPayloadRef
            && !index.IsOutput(name) && !index.IsInput(name) && index.Consumers(name).Count == 1 && node.Input.Count(i => i == name) == 1
            ? tensor : null;
    }

    /// <summary>Whether every value is a finite float32.</summary>
    public static bool Fits(IEnumerable<double> values) => values.All(v => float.IsFinite((float)v));

    /// <summary>Gives a node's input new values: in place where nothing else reads the old ones, else as a constant of its own.</summary>
    /// <param name="node">The node.</param>
    /// <param name="input">Index of the input; it may be absent so far.</param>
    /// <param name="wish">The constant's name where the input is absent.</param>
    /// <param name="dims">Its shape.</param>
    /// <param name="values">Its values.</param>
    public void Set(NodeProto node, int input, string wish, IEnumerable<long> dims, ReadOnlySpan<float> values)
    {
        var name = node.InputOrEmpty(input);
        var graph = index.Graph;
        if (_renewed.Contains(name) || Own(index, node, input) is not null)
        {
            _renewed.Add(name);
            if (graph.Initializer.FirstOrDefault(t => t.Name == name) is { } old)
            {
                GraphEdit.ReplaceInitializer(graph, old, model.CreateTensor(name, dims, values.ToArray()));
                return;
            }

            if (index.Producer(name) is { } constant)
            {
                constant.Attribute.Clear();
                constant.Set("value", model.CreateTensor("", dims, values.ToArray()));
                return;
            }
        }

        var fresh = names.Next(name.Length > 0 ? name : wish);
        _renewed.Add(fresh);
        graph.Initializer.Add(model.CreateTensor(fresh, dims, values.ToArray()));
        node.SetInput(input, fresh);
    }
}
