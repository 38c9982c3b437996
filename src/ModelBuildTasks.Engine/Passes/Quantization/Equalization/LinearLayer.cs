using System.Numerics.Tensors;
using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.Quantization.Equalization;

/// <summary>
/// A linear node (Conv, ConvTranspose, Gemm, MatMul) with a constant float weight of its own, which can be scaled by a factor for
/// each input and output channel: W'[o, i] = f[o]·W[o, i]·g[i], b' = f·b + t. The factors are gathered, and weight and bias
/// are written once.
/// </summary>
internal sealed class LinearLayer
{
    private const long MostValues = 1L << 28;

    private readonly float[] _weight;
    private readonly long[] _dims;
    private readonly (int First, int Second, int Taps) _size;
    private readonly bool _outputFirst;
    private readonly int _groups;
    // The greatest magnitude over the kernel's taps.
    private readonly float[] _magnitudes;
    private readonly double[]? _bias;
    private readonly double[] _shift;

    private LinearLayer(OnnxModel model, GraphIndex index, NodeProto node, TensorProto weight)
    {
        Node = node;
        _dims = [.. weight.Dims];
        _outputFirst = node.OpType == "Conv" || node.OpType == "Gemm" && node.Int("transB") != 0;
        _groups = node.OpType is "Conv" or "ConvTranspose" ? (int)node.Int("group", 1) : 1;
        _weight = model.ReadFloats(weight);
        _size = ((int)_dims[0], (int)_dims[1], _weight.Length / (int)(_dims[0] * _dims[1]));
        _magnitudes = new float[_size.First * _size.Second];
        for (var i = 0; i < _magnitudes.Length; i++)
            _magnitudes[i] = Math.Abs(TensorPrimitives.MaxMagnitude<float>(_weight.AsSpan(i * _size.Taps, _size.Taps)));
        var (first, second) = (_size.First, _size.Second * _groups);
        (Outputs, Inputs) = _outputFirst ? (first, second) : (second, first);
        OutputFactors = Ones(Outputs);
        InputFactors = Ones(Inputs);
        _shift = new double[Outputs];
        if (node.OpType != "MatMul" && index.Constant(node.InputOrEmpty(2)) is { } bias)
        {
            var values = model.ReadFloats(bias);
            _bias = [.. Enumerable.Range(0, Outputs).Select(o => (double)values[values.Length == 1 ? 0 : o])];
        }
    }

    /// <summary>The node.</summary>
    public NodeProto Node { get; }

    /// <summary>Input channels.</summary>
    public int Inputs { get; }

    /// <summary>Output channels.</summary>
    public int Outputs { get; }

    /// <summary>Whether every channel has a filter of its own.</summary>
    public bool IsDepthwise => _groups > 1 && _groups == Inputs && Inputs == Outputs;

    /// <summary>Whether the layer can take a bias.</summary>
    public bool CanShift => Node.OpType != "MatMul" && Node.Float("beta", 1) == 1;

    /// <summary>f, 1 to begin with.</summary>
    public double[] OutputFactors { get; }

    /// <summary>g, 1 to begin with.</summary>
    public double[] InputFactors { get; }

    /// <summary>The axis of the channels in what the node reads and makes: 1 for convolutions, else the last.</summary>
    public static int ChannelAxis(NodeProto node) => node.OpType is "Conv" or "ConvTranspose" ? 1 : -1;

    /// <summary>The node as a layer; null where it has no such weight, or shares it with another node.</summary>
    public static LinearLayer? Of(OnnxModel model, GraphIndex index, NodeProto node) =>
        Weight(index, node) is { } weight && Array.TrueForAll(model.ReadFloats(weight), float.IsFinite) ? new(model, index, node, weight) : null;

    /// <summary>The weight that would be scaled; null where there is none.</summary>
    public static TensorProto? Weight(GraphIndex index, NodeProto node)
    {
        if (!node.IsStandard() || ConstantEdit.Own(index, node, 1) is not { } weight || ElementTypes.Count(weight.Dims) is 0 or > MostValues)
            return null;
        var groups = node.Int("group", 1);
        var fits = node.OpType switch
        {
            "Conv" or "ConvTranspose" => weight.Dims.Count >= 3 && groups >= 1 && weight.Dims[0] % groups == 0,
            "Gemm" => weight.Dims.Count == 2 && node.Int("transA") == 0,
            "MatMul" => weight.Dims.Count == 2 && index.Constant(node.Input[0]) is null,
            _ => false,
        };
        return fits && HasSimpleBias(index, node, OutputCount(node, weight)) ? weight : null;
    }

    /// <summary>Output channels of a node with this weight.</summary>
    public static int OutputCount(NodeProto node, TensorProto weight) => (int)(node.OpType switch
    {
        "Conv" => weight.Dims[0],
        "ConvTranspose" => weight.Dims[1] * node.Int("group", 1),
        "Gemm" when node.Int("transB") != 0 => weight.Dims[0],
        _ => weight.Dims[1],
    });

    /// <summary>Input channels of a node with this weight.</summary>
    public static int InputCount(NodeProto node, TensorProto weight) => (int)(node.OpType switch
    {
        "Conv" => weight.Dims[1] * node.Int("group", 1),
        "Gemm" when node.Int("transB") != 0 => weight.Dims[1],
        _ => weight.Dims[0],
    });

    /// <summary>The greatest magnitude of each output channel's weights, as they are scaled so far.</summary>
    public double[] OutputRanges()
    {
        var ranges = new double[Outputs];
        ForEach((o, i, magnitude) => ranges[o] = Math.Max(ranges[o], magnitude));
        return ranges;
    }

    /// <summary>The greatest magnitude of each input channel's weights, as they are scaled so far.</summary>
    public double[] InputRanges()
    {
        var ranges = new double[Inputs];
        ForEach((o, i, magnitude) => ranges[i] = Math.Max(ranges[i], magnitude));
        return ranges;
    }

    /// <summary>Calls back with output channel, input channel and greatest magnitude over the taps of each pair of channels, as scaled so far.</summary>
    public void ForEach(Action<int, int, double> visit)
    {
        for (var a = 0; a < _size.First; a++)
        {
            var group = a / (_size.First / _groups) * _size.Second;
            for (var b = 0; b < _size.Second; b++)
            {
                var (o, i) = _outputFirst ? (a, group + b) : (group + b, a);
                visit(o, i, _magnitudes[a * _size.Second + b] * OutputFactors[o] * InputFactors[i]);
            }
        }
    }

    /// <summary>What the weight, as scaled so far, makes of a value that is the same everywhere in each input channel: Σ W[o, i, taps]·x[i].</summary>
    public double[] Respond(ReadOnlySpan<double> constants)
    {
        var result = new double[Outputs];
        for (var a = 0; a < _size.First; a++)
        {
            var group = a / (_size.First / _groups) * _size.Second;
            for (var b = 0; b < _size.Second; b++)
            {
                var (o, i) = _outputFirst ? (a, group + b) : (group + b, a);
                double sum = 0;
                foreach (var w in _weight.AsSpan((a * _size.Second + b) * _size.Taps, _size.Taps))
                    sum += w;
                result[o] += sum * OutputFactors[o] * InputFactors[i] * constants[i];
            }
        }

        return result;
    }

    /// <summary>Adds to the bias, which is made where there is none. The output's scale is that of now: factors that come later do not touch it.</summary>
    public void Shift(ReadOnlySpan<double> shift) => TensorPrimitives.Add(_shift, shift, _shift);

    /// <summary>Writes weight and bias where they changed.</summary>
    /// <returns>False, and nothing written, when a value would not be a finite float32.</returns>
    public bool Write(ConstantEdit edit)
    {
        var values = (float[])_weight.Clone();
        var at = 0;
        for (var a = 0; a < _size.First; a++)
        {
            var group = a / (_size.First / _groups) * _size.Second;
            for (var b = 0; b < _size.Second; b++)
            {
                var factor = _outputFirst ? OutputFactors[a] * InputFactors[group + b] : OutputFactors[group + b] * InputFactors[a];
                for (var t = 0; t < _size.Taps; t++, at++)
                    values[at] = (float)(values[at] * factor);
            }
        }

        double[] bias = [.. _shift.Select((t, o) => (_bias?[o] ?? 0) * OutputFactors[o] + t)];
        if (!Array.TrueForAll(values, float.IsFinite) || !ConstantEdit.Fits(bias))
            return false;
        var rescaled = OutputFactors.Any(f => f != 1);
        if (rescaled || InputFactors.Any(f => f != 1))
            edit.Set(Node, 1, "", _dims, values);
        if (_bias is not null && rescaled || _shift.Any(t => t != 0))
            edit.Set(Node, 2, Node.Input[1] + "_bias", [Outputs], [.. bias.Select(b => (float)b)]);
        return true;
    }

    private static bool HasSimpleBias(GraphIndex index, NodeProto node, int outputs)
    {
        if (node.OpType == "MatMul" || node.InputOrEmpty(2).Length == 0)
            return true;
        // A Gemm takes any C that broadcasts to its result; only those that are the same for each row are a bias.
        return index.Constant(node.Input[2]) is { } bias && (DataType)bias.DataType == DataType.Float && ElementTypes.Count(bias.Dims) is var count
            && (count == 1 || count == outputs && bias.Dims[^1] == outputs);
    }

    private static double[] Ones(int count)
    {
        var ones = new double[count];
        Array.Fill(ones, 1);
        return ones;
    }
}
