using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Onnx.Upgrade;

/// <summary>Brings one node to the form that an operator has from some opset on.</summary>
/// <param name="OpType">The operator.</param>
/// <param name="Opset">The opset that changed it; nodes come in the form of the opset before.</param>
/// <param name="Change">What is different, for the report.</param>
/// <param name="Apply">Rewrites the node in place; returns null, or why this node cannot be rewritten.</param>
internal sealed record Adapter(string OpType, long Opset, string Change, Func<Rewrite, string?> Apply);

/// <summary>One node on its way to the next opset, and what an adapter may know and do.</summary>
internal sealed class Rewrite(UpgradeScope scope, GraphProto graph, GraphIndex index, NodeProto node)
{
    /// <summary>The node; adapters edit it.</summary>
    public NodeProto Node { get; } = node;

    /// <summary>The nodes that take the node's place, in order; at first the node alone.</summary>
    public List<NodeProto> Nodes { get; } = [node];

    /// <summary>The <c>Resize</c> nodes that came from an <c>Upsample</c>: their scales are at least 1.</summary>
    public HashSet<NodeProto> Upsampling => scope.Upsampling;

    /// <summary>Dimensions of a value, -1 where they are free; null when the rank is unknown.</summary>
    public long[]? ShapeOf(string value) => scope.Types.TryGetValue(value, out var type) ? type.Shape : null;

    /// <summary>The type of a value of a float type, or null when it cannot be told.</summary>
    public DataType? FloatTypeOf(string value) => scope.FloatType(value);

    /// <summary>Whether anything reads the value or it leaves the graph.</summary>
    public bool IsUsed(string value) => value.Length > 0 && (index.IsOutput(value) || index.Consumers(value).Count > 0);

    /// <summary>The constant tensor behind a value, or null when it is computed, or when the caller may replace it.</summary>
    public TensorProto? ConstantTensor(string value) => index.IsInput(value) && scope.Model.Proto.IrVersion >= 4 ? null : index.Constant(value);

    /// <summary>The values of a float constant.</summary>
    public float[] Floats(TensorProto tensor) => scope.Model.ReadFloats(tensor);

    /// <summary>The name of an int64 constant of rank 1 in the node's graph.</summary>
    public string Constant(string name, params long[] values) =>
        scope.Constant(graph, $"{name}_{string.Join('_', values)}", scope.Model.CreateTensor(name, values));

    /// <summary>The name of a float32 constant of rank 1 in the node's graph.</summary>
    public string Constant(string name, float[] values) => scope.Constant(graph, name, scope.Model.CreateTensor(name, [values.Length], values));

    /// <summary>The name of a scalar constant of a float type in the node's graph.</summary>
    public string Scalar(string name, DataType type, float value)
    {
        var tensor = type switch
        {
            DataType.Float16 => scope.Model.CreateTensor<Half>(name, type, [], [(Half)value]),
            DataType.Double => scope.Model.CreateTensor<double>(name, type, [], [value]),
            _ => scope.Model.CreateTensor(name, [], value),
        };
        return scope.Constant(graph, name, tensor);
    }

    /// <summary>The name of a scalar int64 constant in the node's graph.</summary>
    public string Scalar(string name, long value) =>
        scope.Constant(graph, $"{name}_{value}", scope.Model.CreateTensor<long>(name, DataType.Int64, [], [value]));

    /// <summary>A name that no graph of the model uses yet.</summary>
    public string NewName(string wish) => scope.Names.Next(wish);

    /// <summary>Cuts the node's outputs behind the first <paramref name="count"/>, and forgets what was declared of them.</summary>
    public void KeepOutputs(int count)
    {
        while (Node.Output.Count > count)
        {
            var name = Node.Output[^1];
            Node.Output.RemoveAt(Node.Output.Count - 1);
            for (var i = graph.ValueInfo.Count - 1; i >= 0; i--)
            {
                if (graph.ValueInfo[i].Name == name)
                    graph.ValueInfo.RemoveAt(i);
            }
        }
    }

    /// <summary>Moves an integer list attribute to an input; an empty or absent list becomes an omitted input.</summary>
    public void AttributeToInput(string name, int index)
    {
        if (Node.Ints(name) is { Length: > 0 } values)
            Node.SetInput(index, Constant(name, values));
        Node.RemoveAttribute(name);
    }
}
