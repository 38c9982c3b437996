using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Pipeline.DataChecks;

/// <summary>The share of decisions of a model's <c>Sigmoid</c> and <c>Softmax</c> that are as good as 0 or 1.</summary>
internal sealed class SaturationWatch
{
    private const float Saturated = 0.999f;

    private readonly Dictionary<string, NodeProto> _nodes;
    private readonly bool _flattens;
    private long _count;
    private long _saturated;

    public SaturationWatch(OnnxModel model)
    {
        _nodes = model.Graph.Node.Where(n => n.Is("Softmax") || n.Is("Sigmoid")).DistinctBy(n => n.Output[0]).ToDictionary(n => n.Output[0]);
        // Before opset 13 Softmax goes over all axes from its own on.
        _flattens = model.Opset < 13;
    }

    /// <summary>The values to observe.</summary>
    public IReadOnlyCollection<string> Names => _nodes.Keys;

    public void Add(string name, Tensor tensor)
    {
        if (!_nodes.TryGetValue(name, out var node) || tensor.Type is not (DataType.Float or DataType.Float16) || tensor.Count == 0)
            return;
        var values = tensor.ToFloats();
        if (node.OpType == "Sigmoid")
        {
            foreach (var value in values)
                Count(Math.Max(value, 1 - value));
            return;
        }

        var rank = tensor.Shape.Length;
        var axis = (int)node.Int("axis", _flattens ? 1 : -1);
        axis = Math.Clamp(axis < 0 ? axis + rank : axis, 0, Math.Max(0, rank - 1));
        var behind = (int)tensor.Shape.Skip(axis + 1).Aggregate(1L, (a, b) => a * b);
        var classes = (int)(rank == 0 ? 1 : tensor.Shape[axis]) * (_flattens ? behind : 1);
        var stride = _flattens ? 1 : behind;
        for (var start = 0; start < values.Length; start += classes * stride)
        {
            for (var i = start; i < start + stride; i++)
            {
                var most = 0f;
                for (var c = 0; c < classes; c++)
                    most = Math.Max(most, values[i + c * stride]);
                Count(most);
            }
        }
    }

    /// <summary>The share, 0 to 1; null for a model without such operators.</summary>
    public double? Share() => _count == 0 ? null : (double)_saturated / _count;

    private void Count(float probability)
    {
        _count++;
        _saturated += probability > Saturated ? 1 : 0;
    }
}
