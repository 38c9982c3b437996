using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Autodiff;

/// <summary>A graph in training form with the type and the shape of every value.</summary>
internal sealed class ShapedGraph
{
    private readonly IReadOnlyDictionary<string, ValueDescription> _types;

    public ShapedGraph(OnnxModel model, IReadOnlyDictionary<string, ValueDescription> types)
    {
        Model = model;
        _types = types;
        Index = new GraphIndex(model, model.Graph);
    }

    public OnnxModel Model { get; }

    public GraphIndex Index { get; }

    /// <summary>Whether a value is of float32: only these have gradients.</summary>
    public bool IsFloat(string name) => name.Length > 0 && _types.GetValueOrDefault(name)?.Type == DataType.Float;

    /// <summary>The element type of a value; undefined where it is unknown.</summary>
    public DataType Type(string name) => _types.GetValueOrDefault(name)?.Type ?? DataType.Undefined;

    /// <summary>Whether all dimensions of a value are known.</summary>
    public bool IsShaped(string name) => _types.GetValueOrDefault(name)?.Shape is { } shape && shape.All(d => d >= 0);

    /// <summary>The dimensions of a value.</summary>
    /// <exception cref="ModelBuildException">MBT2042: they depend on the data.</exception>
    public long[] Shape(string name) => IsShaped(name)
        ? _types[name].Shape!
        : throw new ModelBuildException(DiagnosticCodes.UnknownTrainingShape, $"the shape of '{name}' depends on the data, and its gradient needs a fixed one");

    /// <summary>The values of an integer constant, or null where it is computed or absent.</summary>
    public long[]? Longs(string name) => Index.Constant(name) is { } tensor && !ElementTypes.IsFloat((DataType)tensor.DataType) ? Model.ReadInt64s(tensor) : null;

    /// <summary>The values of a float constant, or null where it is computed or absent.</summary>
    public float[]? Floats(string name) => Index.Constant(name) is { } tensor && ElementTypes.IsFloat((DataType)tensor.DataType) ? Model.ReadFloats(tensor) : null;

    /// <summary>The axes of a reduction or of Squeeze and Unsqueeze, from 0; <paramref name="otherwise"/> where none are given.</summary>
    public long[] Axes(NodeProto node, int rank, int input, long[] otherwise)
    {
        var axes = Longs(node.InputOrEmpty(input)) ?? node.Ints("axes") ?? [];
        return axes.Length == 0 ? otherwise : [.. axes.Select(a => a < 0 ? a + rank : a).Order()];
    }

    /// <summary>An axis attribute, from 0.</summary>
    public static int Axis(NodeProto node, int rank, long otherwise, string name = "axis")
    {
        var axis = node.Int(name, otherwise);
        return (int)(axis < 0 ? axis + rank : axis);
    }
}
