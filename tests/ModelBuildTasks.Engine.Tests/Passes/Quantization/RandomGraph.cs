using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Passes.Quantization;

/// <summary>
/// A random network of weighted operators, arithmetic and data movement, with branches, joins, shared weights, outputs in the
/// middle and bodies that read what is outside of them. The same seed gives the same network.
/// </summary>
internal sealed class RandomGraph
{
    private readonly Random _random;
    private readonly SmallModel _model;
    private readonly List<Value> _values = [];
    private readonly List<(string Name, long[] Dims)> _weights = [];
    private int _names;

    private RandomGraph(int seed)
    {
        _random = new Random(seed);
        long[] opsets = [13, 17, 18, 21];
        var opset = opsets[_random.Next(opsets.Length)];
        _model = new SmallModel(opset, ir: opset == 21 ? 10 : 8);
    }

    /// <summary>Makes a network.</summary>
    public static SmallModel Make(int seed) => new RandomGraph(seed).Make();

    private SmallModel Make()
    {
        var rank = _random.Next(2, 6);
        long channels = 4 * _random.Next(2, 5);
        long[] shape = rank switch { 2 => [2, channels * 4], 3 => [2, channels, 12], 4 => [1, channels, 9, 8], _ => [1, channels, 4, 5, 4] };
        _model.Input("x", shape);
        _values.Add(new("x", shape));
        for (var steps = _random.Next(3, 9); steps > 0; steps--)
            Step(Pick(_values.TakeLast(3).ToList()));
        foreach (var value in _values.Skip(1).Where(v => v == _values[^1] || _random.Next(5) == 0))
            _model.Output(value.Name, DataType.Float);
        return _model;
    }

    private void Step(Value x)
    {
        Action<Value>[] steps = x.Rank switch
        {
            2 => [Gemm, MatMul, Gemm, MatMul, Activation, Join, Movement, Body, Twice],
            3 => [MatMul, Batched, Conv, Conv, Activation, Join, Movement, Twice, SplitAndJoin],
            _ => [Conv, Conv, Conv, ConvTranspose, Activation, Join, Pool, Movement, Twice, SplitAndJoin, Body],
        };
        steps[_random.Next(steps.Length)](x);
    }

    private void Conv(Value x)
    {
        var (channels, spatial) = (x.Shape[1], x.Rank - 2);
        var groups = channels % 4 == 0 ? Pick<long>([1, 1, 2, 4, channels]) : 1;
        var outputs = groups == channels ? channels * Pick<long>([1, 2]) : Pick<long>([8, 12, 16]);
        var kernel = x.Shape.Skip(2).All(d => d >= 5) ? Pick<long>([1, 3]) : 1;
        var dilation = kernel == 3 && x.Shape.Skip(2).All(d => d >= 7) ? Pick<long>([1, 2]) : 1;
        var pad = kernel == 1 ? 0 : dilation;
        var stride = Pick<long>([1, 1, 2]);
        long[] dims = [outputs, channels / groups, .. Enumerable.Repeat(kernel, spatial)];
        var weight = Weight(dims, fanIn: dims.Skip(1).Aggregate(1L, (a, b) => a * b));
        var bias = _random.Next(3) == 0 ? "" : "," + Bias(outputs);
        var y = Add("Conv", $"{x.Name},{weight}{bias}",
            [x.Shape[0], outputs, .. x.Shape.Skip(2).Select(d => (d + (2 * pad) - (dilation * (kernel - 1)) - 1) / stride + 1)],
            ("group", groups), ("dilations", Same(dilation, spatial)), ("strides", Same(stride, spatial)), ("pads", Same(pad, spatial * 2)), ("kernel_shape", Same(kernel, spatial)));
        if (_random.Next(2) == 0)
            Activation(y);
    }

    private void ConvTranspose(Value x)
    {
        var groups = Pick<long>([1, x.Shape[1] % 2 == 0 ? 2 : 1]);
        long[] dims = [x.Shape[1], 8 / groups, .. Same(2, x.Rank - 2)];
        Add("ConvTranspose", $"{x.Name},{Weight(dims, x.Shape[1] / groups)}", [x.Shape[0], 8, .. x.Shape.Skip(2).Select(d => d + 1)], ("group", groups));
    }

    private void Gemm(Value x)
    {
        long inputs = x.Shape[1], outputs = Pick<long>([16, 24, 32]);
        var transposed = _random.Next(2);
        var weight = Weight(transposed == 1 ? [outputs, inputs] : [inputs, outputs], inputs);
        var bias = _random.Next(3) == 0 ? "" : "," + Bias(outputs);
        Add("Gemm", $"{x.Name},{weight}{bias}", [x.Shape[0], outputs], ("transB", transposed), ("alpha", Pick([1f, 1f, 0.5f])), ("beta", Pick([1f, 1f, 2f])));
    }

    private void MatMul(Value x)
    {
        long inputs = x.Shape[^1], outputs = Pick<long>([16, 24, 32]);
        if (_random.Next(6) == 0)
            Add("MatMul", $"{x.Name},{Weight([inputs], inputs)}", [.. x.Shape.SkipLast(1)], keep: false);
        else
            Add("MatMul", $"{x.Name},{Weight([inputs, outputs], inputs)}", [.. x.Shape.SkipLast(1), outputs]);
    }

    private void Batched(Value x) =>
        Add("MatMul", $"{x.Name},{Weight([x.Shape[0], x.Shape[2], 16], x.Shape[2])}", [x.Shape[0], x.Shape[1], 16]);

    private void Activation(Value x)
    {
        switch (_random.Next(6))
        {
            case 0: Add("Sigmoid", x.Name, x.Shape); break;
            case 1: Add("LeakyRelu", x.Name, x.Shape, ("alpha", 0.1f)); break;
            case 2: Add("Clip", $"{x.Name},{Scalar(0)},{Scalar(0.8f)}", x.Shape); break;
            case 3: Add("Clip", $"{x.Name},{Scalar(-0.3f)},{Scalar(0.8f)}", x.Shape); break;
            default: Add("Relu", x.Name, x.Shape); break;
        }
    }

    private void Join(Value x)
    {
        var other = Pick(_values.Where(v => v.Shape.SequenceEqual(x.Shape)).ToList());
        switch (_random.Next(4))
        {
            case 0: Add("Mul", $"{x.Name},{Bias(x.Shape[^1])}", x.Shape); break;
            case 1: Add("Concat", $"{x.Name},{other.Name}", [x.Shape[0], x.Shape[1] * 2, .. x.Shape.Skip(2)], ("axis", 1)); break;
            default:
                var sum = Add("Add", $"{x.Name},{other.Name}", x.Shape);
                if (_random.Next(2) == 0)
                    Add("Relu", sum.Name, x.Shape);
                break;
        }
    }

    private void Pool(Value x)
    {
        switch (_random.Next(x.Rank == 4 ? 4 : 3))
        {
            case 0 when x.Shape.Skip(2).Min() > 1: Add("MaxPool", x.Name, [.. x.Shape.Take(2), .. x.Shape.Skip(2).Select(d => d - 1)], ("kernel_shape", Same(2, x.Rank - 2))); break;
            case 1 when x.Shape.Skip(2).Min() > 1: Add("AveragePool", x.Name, [.. x.Shape.Take(2), .. x.Shape.Skip(2).Select(d => d - 1)], ("kernel_shape", Same(2, x.Rank - 2))); break;
            case 0 or 1 or 2: Add("GlobalAveragePool", x.Name, [.. x.Shape.Take(2), .. Same(1, x.Rank - 2)]); break;
            default:
                var scales = Floats([4], [1, 1, 2, 2]);
                Add("Resize", $"{x.Name},,{scales}", [.. x.Shape.Take(2), x.Shape[2] * 2, x.Shape[3] * 2], ("mode", Pick(["nearest", "linear"])));
                break;
        }
    }

    private void Movement(Value x)
    {
        var size = x.Shape.Skip(1).Aggregate(1L, (a, b) => a * b);
        switch (_random.Next(5))
        {
            case 0: Add("Reshape", $"{x.Name},{Ints(x.Shape[0], -1)}", [x.Shape[0], size]); break;
            case 1: Add("Transpose", x.Name, [x.Shape[0], .. x.Shape.Skip(1).Reverse()], ("perm", (long[])[0, .. Enumerable.Range(1, x.Rank - 1).Reverse()])); break;
            case 2 when x.Shape[1] > 1: Add("Slice", $"{x.Name},{Ints(1)},{Ints(x.Shape[1])},{Ints(1)}", [x.Shape[0], x.Shape[1] - 1, .. x.Shape.Skip(2)]); break;
            case 3: Add("Gather", $"{x.Name},{Ints([.. Enumerable.Range(0, (int)x.Shape[1]).Select(i => (long)(i * 3 % x.Shape[1]))])}", x.Shape, ("axis", 1)); break;
            default: Add("Identity", x.Name, x.Shape); break;
        }
    }

    /// <summary>Two readers of one value.</summary>
    private void Twice(Value x)
    {
        Step(x);
        Step(x);
    }

    private void SplitAndJoin(Value x)
    {
        if (x.Shape[1] % 2 != 0)
            return;
        string left = Name(), right = Name();
        long[] half = [x.Shape[0], x.Shape[1] / 2, .. x.Shape.Skip(2)];
        _model.Node("Split", $"{x.Name},{Ints(half[1], half[1])}", $"{left},{right}", ("axis", 1));
        Value a = new(left, half), b = new(right, half);
        _values.Add(a);
        Conv(a);
        _values.Add(b);
        Add("Add", $"{left},{right}", half);
    }

    /// <summary>A condition whose branches read a value from outside, one of them through a weight of its own.</summary>
    private void Body(Value x)
    {
        var weight = x.Rank == 2 ? Weight([x.Shape[1], 16], x.Shape[1]) : Weight([8, x.Shape[1], .. Same(1, x.Rank - 2)], x.Shape[1]);
        long[] shape = x.Rank == 2 ? [x.Shape[0], 16] : [x.Shape[0], 8, .. x.Shape.Skip(2)];
        if (!_model.Graph.Input.Any(i => i.Name == "c"))
            _model.Input("c", DataType.Bool, 1);
        var (then, otherwise) = (Branch("Neg"), Branch("Identity"));
        Add("If", "c", shape, ("then_branch", then), ("else_branch", otherwise));

        GraphProto Branch(string op)
        {
            string a = Name(), b = Name();
            var graph = new GraphProto { Name = a };
            graph.Node.Add(SmallModel.NodeOf(x.Rank == 2 ? "MatMul" : "Conv", $"{x.Name},{weight}", a));
            graph.Node.Add(SmallModel.NodeOf(op, a, b));
            graph.Output.Add(SmallModel.Value(b, DataType.Float, shape));
            return graph;
        }
    }

    private Value Add(string op, string inputs, long[] shape, params (string, object)[] attributes) => Add(op, inputs, shape, true, attributes);

    private Value Add(string op, string inputs, long[] shape, bool keep, params (string, object)[] attributes)
    {
        var value = new Value(Name(), shape);
        _model.Node(op, inputs, value.Name, attributes);
        if (keep)
            _values.Add(value);
        else
            _model.Output(value.Name, DataType.Float);
        return value;
    }

    private string Weight(long[] dims, long fanIn)
    {
        if (_random.Next(4) == 0 && _weights.Find(w => w.Dims.SequenceEqual(dims)) is { Name: not null } shared)
            return shared.Name;
        var scale = (float)(1.7 / Math.Sqrt(fanIn));
        var name = Floats(dims, [.. SmallModel.Values(_random.Next(), dims.Aggregate(1L, (a, b) => a * b)).Select(v => v * scale)]);
        _weights.Add((name, dims));
        return name;
    }

    private string Bias(long count) => Floats([count], [.. SmallModel.Values(_random.Next(), count).Select(v => (v * 0.3f) + 0.1f)]);

    private string Scalar(float value) => Floats([], [value]);

    private string Floats(long[] dims, float[] values)
    {
        var name = Name();
        _model.Floats(name, dims, values);
        return name;
    }

    private string Ints(params long[] values)
    {
        var name = Name();
        _model.Ints(name, values);
        return name;
    }

    private string Name() => $"v{_names++}";

    private T Pick<T>(IReadOnlyList<T> from) => from[_random.Next(from.Count)];

    private static long[] Same(long value, int count) => [.. Enumerable.Repeat(value, count)];

    private sealed record Value(string Name, long[] Shape)
    {
        public int Rank => Shape.Length;
    }
}
