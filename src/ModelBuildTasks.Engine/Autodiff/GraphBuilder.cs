using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Autodiff;

/// <summary>
/// Writes nodes of the default operator set and hands out the names of their results. Constants become initializers of the model, each
/// value once. The nodes are collected; who builds puts them where they belong.
/// </summary>
internal sealed class GraphBuilder(OnnxModel model, NameAllocator names)
{
    private readonly Dictionary<string, string> _constants = [];

    // Names are tried one by one; without a number of its own, the ten-thousandth would be tried ten thousand times.
    private int _count;

    /// <summary>The nodes written so far, in order.</summary>
    public List<NodeProto> Nodes { get; } = [];

    /// <summary>Called once for each node as it is written.</summary>
    public Action<NodeProto>? Written { get; set; }

    /// <summary>The model that constants are added to.</summary>
    public OnnxModel Model => model;

    /// <summary>A name that nothing in the model has yet.</summary>
    public string Name(string wish) => names.Next(wish);

    /// <summary>A node with one output; returns the output's name.</summary>
    public string Op(string op, params IReadOnlyList<string> inputs) => Op(op, inputs, null);

    /// <summary>A node with one output and attributes; returns the output's name.</summary>
    public string Op(string op, IReadOnlyList<string> inputs, Action<NodeProto>? attributes) => Op(op, inputs, 1, attributes)[0];

    /// <summary>A node with several outputs; returns their names.</summary>
    public string[] Op(string op, IReadOnlyList<string> inputs, int outputs, Action<NodeProto>? attributes)
    {
        var results = new string[outputs];
        for (var i = 0; i < outputs; i++)
            results[i] = names.Next($"d{op}{_count++}");
        Node(op, inputs, results, attributes);
        return results;
    }

    /// <summary>A node whose outputs have names already.</summary>
    public void Node(string op, IReadOnlyList<string> inputs, IReadOnlyList<string> outputs, Action<NodeProto>? attributes = null)
    {
        // Trailing inputs that are left out are not written.
        var count = inputs.Count;
        while (count > 0 && inputs[count - 1].Length == 0)
            count--;
        var node = GraphExtensions.Node(op, inputs.Take(count), outputs);
        attributes?.Invoke(node);
        Nodes.Add(node);
        Written?.Invoke(node);
    }

    /// <summary>A float scalar.</summary>
    public string Scalar(float value) =>
        Constant($"f{BitConverter.SingleToInt32Bits(value):x8}", name => model.CreateTensor(name, [], value));

    /// <summary>A list of integers, as shapes, axes and pads are.</summary>
    public string Ints(params IReadOnlyList<long> values) =>
        Constant($"i{string.Join(',', values)}", name => model.CreateTensor(name, [.. values]));

    /// <summary>An int64 scalar.</summary>
    public string IntScalar(long value) => Constant($"s{value}", name => model.CreateTensor<long>(name, DataType.Int64, [], [value]));

    /// <summary>A float tensor.</summary>
    public string Floats(IReadOnlyList<long> dims, float[] values)
    {
        var name = names.Next($"constant{_count++}");
        model.Graph.Initializer.Add(model.CreateTensor(name, dims, values));
        return name;
    }

    /// <summary>An int64 tensor of any rank.</summary>
    public string Longs(IReadOnlyList<long> dims, long[] values)
    {
        var name = names.Next($"constant{_count++}");
        model.Graph.Initializer.Add(model.CreateTensor<long>(name, DataType.Int64, dims, values));
        return name;
    }

    /// <summary>A float tensor with the same value everywhere, made at run time so that it costs no bytes.</summary>
    public string Filled(IReadOnlyList<long> shape, float value) =>
        Op("ConstantOfShape", [Ints(shape)], n => n.Set("value", model.CreateTensor("", [1], value)));

    private string Constant(string key, Func<string, TensorProto> make)
    {
        if (_constants.TryGetValue(key, out var known))
            return known;
        var name = names.Next($"constant{_count++}");
        model.Graph.Initializer.Add(make(name));
        return _constants[key] = name;
    }
}
