using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Benchmarks.Costs;

/// <summary>Builds a chain of nodes with seeded random weights.</summary>
[System.Diagnostics.CodeAnalysis.SuppressMessage("Design", "CA1001", Justification = "The model is given away.")]
internal sealed class GraphBuilder
{
    private readonly OnnxModel _model = new(new ModelProto { IrVersion = 8, Graph = new GraphProto { Name = "chain" } }, new PayloadStore()) { Opset = 17 };
    private readonly Random _random = new(1);
    private string _last = "x";
    private int _next;

    /// <summary>The input.</summary>
    public GraphBuilder Input(params long[] shape) => Input(_last, shape);

    /// <summary>A further input.</summary>
    public GraphBuilder Input(string name, long[] shape)
    {
        var tensor = new TypeProto.Types.Tensor { ElemType = (int)DataType.Float, Shape = new() };
        tensor.Shape.Dim.AddRange(shape.Select(d => new TensorShapeProto.Types.Dimension { DimValue = d }));
        _model.Graph.Input.Add(new ValueInfoProto { Name = name, Type = new() { TensorType = tensor } });
        return this;
    }

    /// <summary>A node with a weight and, where <paramref name="bias"/> is not 0, a bias of that length.</summary>
    public GraphBuilder Weighted(string op, long[] weight, int bias, params (string Name, long[] Values)[] attributes)
    {
        // Values keep their size along the chain: none dies out or grows without bound.
        var inputs = op is "Conv" ? ElementTypes.Count(weight.Skip(1)) : weight[0];
        List<string> names = [_last, Floats(weight, Math.Sqrt(6.0 / inputs))];
        if (bias > 0)
            names.Add(Floats([bias], 0.1));
        var node = Node(op, names);
        foreach (var (name, values) in attributes)
            _ = name == "group" ? node.Set(name, values[0]) : node.Set(name, values);
        return this;
    }

    /// <summary>The last value times an input.</summary>
    public GraphBuilder Times(string input)
    {
        Node("MatMul", [_last, input]);
        return this;
    }

    /// <summary>A node without attributes that reads the last value.</summary>
    public GraphBuilder Then(string op)
    {
        Node(op, [_last]);
        return this;
    }

    /// <summary>A node without a weight, as models have them.</summary>
    public GraphBuilder Operator(string op, int channels, int size)
    {
        switch (op)
        {
            case "Add" or "Mul" or "Sub" or "Div" or "Concat":
                // A second branch, so that both inputs are activations.
                var before = _last;
                Weighted("Conv", [channels, channels, 1, 1], channels);
                var node = Node(op, op == "Concat" ? [before, _last] : [_last, before]);
                if (op == "Concat")
                    node.Set("axis", 1L);
                break;
            case "LeakyRelu":
                Node(op, [_last]).Set("alpha", 0.1f);
                break;
            case "AveragePool" or "MaxPool":
                Node(op, [_last]).Set("kernel_shape", 3L, 3).Set("strides", 1L, 1).Set("pads", 1L, 1, 1, 1);
                break;
            case "Resize":
                Node(op, [_last, "", Floats([4], 0, [1, 1, 2, 2])]).Set("mode", "nearest").Set("coordinate_transformation_mode", "asymmetric").Set("nearest_mode", "floor");
                break;
            case "Transpose":
                Node(op, [_last]).Set("perm", 0L, 1, 3, 2);
                break;
            case "Reshape":
                Node(op, [_last, Longs(1, channels, size * size, 1)]);
                break;
            case "Slice":
                Node(op, [_last, Longs(0), Longs(size - 1), Longs(2)]);
                break;
            default:
                Node(op, [_last]);
                break;
        }

        return this;
    }

    /// <summary>A recurrent layer with zero initial states.</summary>
    public void Recurrent(string op, int gates, int inputs, int hidden) =>
        Node(op, [_last, Floats([1, gates * hidden, inputs], 0.1), Floats([1, gates * hidden, hidden], 0.1), Floats([1, 2 * gates * hidden], 0.1)]).Set("hidden_size", (long)hidden);

    /// <summary>The model, whose output is the last value.</summary>
    public (string Name, OnnxModel Model) Build(string name)
    {
        _model.Graph.Output.Add(new ValueInfoProto { Name = _last });
        return (name, _model);
    }

    private NodeProto Node(string op, IEnumerable<string> inputs)
    {
        var node = GraphExtensions.Node(op, inputs, [_last = $"v{_next++}"], $"{op}_{_next}");
        _model.Graph.Node.Add(node);
        return node;
    }

    private string Floats(long[] dims, double scale, float[]? values = null)
    {
        var name = $"w{_next++}";
        values ??= [.. Enumerable.Range(0, (int)ElementTypes.Count(dims)).Select(_ => (float)((_random.NextDouble() * 2 - 1) * scale))];
        _model.Graph.Initializer.Add(_model.CreateTensor(name, dims, values));
        return name;
    }

    private string Longs(params long[] values)
    {
        var name = $"c{_next++}";
        _model.Graph.Initializer.Add(_model.CreateTensor(name, values));
        return name;
    }
}
