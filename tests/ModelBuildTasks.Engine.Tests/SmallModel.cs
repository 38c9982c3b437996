using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Tests;

/// <summary>Builds models of a few nodes.</summary>
internal sealed class SmallModel
{
    public SmallModel(long opset = 17, long ir = 8)
    {
        var proto = new ModelProto { IrVersion = ir, Graph = new GraphProto { Name = "small" } };
        Model = new OnnxModel(proto, new PayloadStore()) { Opset = opset };
    }

    public OnnxModel Model { get; }

    public GraphProto Graph => Model.Graph;

    public SmallModel Input(string name, params long[] shape) => Input(name, DataType.Float, shape);

    public SmallModel Input(string name, DataType type, params long[]? shape)
    {
        Graph.Input.Add(Value(name, type, shape));
        return this;
    }

    /// <summary>Adds outputs; ONNX Runtime finds out their types.</summary>
    public SmallModel Output(params string[] names)
    {
        Graph.Output.AddRange(names.Select(n => new ValueInfoProto { Name = n }));
        return this;
    }

    public SmallModel Output(string name, DataType type)
    {
        Graph.Output.Add(new ValueInfoProto { Name = name, Type = new TypeProto { TensorType = new() { ElemType = (int)type } } });
        return this;
    }

    public SmallModel Floats(string name, long[] dims, params float[] values)
    {
        Graph.Initializer.Add(Model.CreateTensor(name, dims, values));
        return this;
    }

    /// <summary>A weight of seeded random values in ±1.</summary>
    public SmallModel Random(string name, int seed, params long[] dims) => Floats(name, dims, Values(seed, ElementTypes.Count(dims)));

    /// <summary>A weight of values in ±1 in seeded random order, no two of which are nearer than all others: what depends on the largest or on signs has no corner nearby.</summary>
    public SmallModel Distinct(string name, int seed, params long[] dims)
    {
        var order = Values(seed, ElementTypes.Count(dims));
        var ranks = new float[order.Length];
        foreach (var (rank, i) in Enumerable.Range(0, order.Length).OrderBy(i => order[i]).Index())
            ranks[i] = (2 * rank + 1f) / order.Length - 1;
        // Of an odd number the one in the middle would be zero.
        return Floats(name, dims, [.. ranks.Select(r => r == 0 ? 0.3f / order.Length : r)]);
    }

    public SmallModel Ints(string name, params long[] values) => Longs(name, [values.Length], values);

    public SmallModel Longs(string name, long[] dims, params long[] values)
    {
        Graph.Initializer.Add(Model.CreateTensor<long>(name, DataType.Int64, dims, values));
        return this;
    }

    /// <summary>Adds a node; inputs and outputs are given with commas between them, attributes as numbers, strings, lists, graphs or tensors.</summary>
    public SmallModel Node(string op, string inputs, string outputs, params (string Name, object Value)[] attributes)
    {
        Graph.Node.Add(NodeOf(op, inputs, outputs, attributes));
        return this;
    }

    public SmallModel Node(string op, string[] inputs, string[] outputs, Action<NodeProto>? more = null, string name = "")
    {
        var node = GraphExtensions.Node(op, inputs, outputs, name);
        more?.Invoke(node);
        Graph.Node.Add(node);
        return this;
    }

    public static NodeProto NodeOf(string op, string inputs, string outputs, params (string Name, object Value)[] attributes)
    {
        var node = GraphExtensions.Node(op, Split(inputs), Split(outputs), $"{op}_{Split(outputs)[0]}");
        foreach (var (name, value) in attributes)
            Set(node, name, value);
        return node;
    }

    public static ValueInfoProto Value(string name, DataType type, params long[]? shape)
    {
        var tensor = new TypeProto.Types.Tensor { ElemType = (int)type };
        if (shape is not null)
        {
            tensor.Shape = new();
            tensor.Shape.Dim.AddRange(shape.Select(d => d < 0
                ? new TensorShapeProto.Types.Dimension { DimParam = $"n{-d}" }
                : new TensorShapeProto.Types.Dimension { DimValue = d }));
        }

        return new ValueInfoProto { Name = name, Type = new TypeProto { TensorType = tensor } };
    }

    /// <summary>Seeded random values in ±1.</summary>
    public static float[] Values(int seed, long count)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, (int)count).Select(_ => (float)(random.NextDouble() * 2 - 1))];
    }

    /// <summary>A tensor of seeded random values in ±1.</summary>
    public static Tensor Tensor(int seed, params long[] shape) => Engine.Data.Tensor.Of<float>(DataType.Float, shape, Values(seed, ElementTypes.Count(shape)));

    private static string[] Split(string names) => names.Length == 0 ? [] : names.Split(',');

    private static void Set(NodeProto node, string name, object value)
    {
        switch (value)
        {
            case int i: node.Set(name, (long)i); break;
            case long l: node.Set(name, l); break;
            case float f: node.Set(name, f); break;
            case double d: node.Set(name, (float)d); break;
            case string s: node.Set(name, s); break;
            case long[] ints: node.Set(name, ints); break;
            case int[] ints: node.Set(name, [.. ints.Select(i => (long)i)]); break;
            case TensorProto tensor: node.Set(name, tensor); break;
            case float[] floats:
                var list = new AttributeProto { Name = name, Type = AttributeProto.Types.AttributeType.Floats };
                list.Floats.AddRange(floats);
                node.Attribute.Add(list);
                break;
            case GraphProto graph:
                node.Attribute.Add(new AttributeProto { Name = name, G = graph, Type = AttributeProto.Types.AttributeType.Graph });
                break;
            default: throw new NotSupportedException(value.GetType().Name);
        }
    }
}
