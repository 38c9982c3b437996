using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.HalfPrecision;
using ModelBuildTasks.Engine.Passes.Quantization.Rounding;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.Quantization;

/// <summary>What the rewrites of one pass share: the model being edited, fresh names, weights in 8 bits, decisions.</summary>
internal sealed class RewriteContext(OnnxModel model, QuantizePlan plan, NumberFormats formats, WeightRounding? rounding = null, int threads = 1)
{
    private readonly Dictionary<(int, string), string> _constants = [];
    private readonly Dictionary<GraphProto, int> _graphs = new(ReferenceEqualityComparer.Instance);
    private int _next;

    public OnnxModel Model { get; } = model;

    public QuantizePlan Plan { get; } = plan;

    /// <summary>The numbers that the runtime computes with.</summary>
    public NumberFormats Formats { get; } = formats;

    public NameAllocator Names { get; } = new(model);

    public List<Decision> Decisions { get; } = [];

    /// <summary>A fresh value name. Short, because every name is in the file at least twice.</summary>
    public string Fresh(string prefix) => Names.Next($"{prefix}{_next++}");

    /// <summary>A number for a graph. (Messages compare by value, which neither identifies a graph nor is cheap.)</summary>
    public int Number(GraphProto graph)
    {
        if (!_graphs.TryGetValue(graph, out var number))
            _graphs[graph] = number = _graphs.Count;
        return number;
    }

    /// <summary>Adds an initializer of a fresh name.</summary>
    public string Add<T>(GraphProto graph, string prefix, DataType type, IEnumerable<long> dims, ReadOnlySpan<T> values) where T : unmanaged
    {
        var name = Fresh(prefix);
        graph.Initializer.Add(Model.CreateTensor(name, type, dims, values));
        return name;
    }

    /// <summary>Adds int8 codes, which then belong to the model.</summary>
    public string Add(GraphProto graph, string prefix, IEnumerable<long> dims, sbyte[] codes)
    {
        var name = Fresh(prefix);
        // To the runtime an array of one is an array of the other.
        graph.Initializer.Add(Model.CreateTensor(name, DataType.Int8, dims, new ReadOnlyMemory<byte>((byte[])(object)codes)));
        return name;
    }

    /// <summary>An initializer that equal values share, found again by <paramref name="key"/>.</summary>
    public string Shared<T>(GraphProto graph, string key, string prefix, DataType type, IEnumerable<long> dims, ReadOnlySpan<T> values) where T : unmanaged
    {
        if (!_constants.TryGetValue((Number(graph), key), out var name))
            _constants[(Number(graph), key)] = name = Add(graph, prefix, type, dims, values);
        return name;
    }

    /// <summary>The float16 values of a float32 weight, once for all that read it.</summary>
    public string SharedHalf(GraphProto graph, string weight, TensorProto tensor)
    {
        if (!_constants.TryGetValue((Number(graph), $"h {weight}"), out var name))
        {
            _constants[(Number(graph), $"h {weight}")] = name = Fresh("h");
            graph.Initializer.Add(HalfConversion.Tensor(Model, name, tensor));
        }

        return name;
    }

    /// <summary>A zero point of zeros in the weight type, shared by all weights with as many channels.</summary>
    public string WeightZeroPoint(GraphProto graph, long channels, bool perTensor) => perTensor
        ? Shared<sbyte>(graph, "zw", "zw", DataType.Int8, [], new sbyte[1])
        : Shared<sbyte>(graph, $"zw{channels}", "zw", DataType.Int8, [channels], new sbyte[channels]);

    /// <summary>Whether a weight of integer arithmetic gets a scale for each output channel.</summary>
    public bool IsPerChannel(NodeWeight weight) => Plan.PerChannel && Formats.IsPerChannel(weight.Node.OpType);

    /// <summary>Quantizes a weight of integer arithmetic as the runtime wants it, and notes how well that went.</summary>
    /// <param name="weight">The weight.</param>
    /// <param name="leastScale">A lower bound for each channel's scale, or empty.</param>
    public (QuantizedWeight Quantized, double Sqnr) QuantizeForIntegers(NodeWeight weight, ReadOnlySpan<float> leastScale = default)
    {
        if (!Formats.PairsSaturate)
            return Quantize(weight, leastScale, IsPerChannel(weight));
        var least = PairSaturation.LeastScales(Model, weight, threads);
        if (!leastScale.IsEmpty)
            TensorPrimitives.Max(least, leastScale, least);
        return Quantize(weight, least, IsPerChannel(weight), Formats.PairsSaturate);
    }

    /// <summary>Quantizes a weight of float arithmetic and notes how well that went.</summary>
    public (QuantizedWeight Quantized, double Sqnr) Quantize(NodeWeight weight) => Quantize(weight, [], Plan.PerChannel);

    private (QuantizedWeight Quantized, double Sqnr) Quantize(NodeWeight weight, ReadOnlySpan<float> leastScale, bool perChannel, bool pairsSaturate = false)
    {
        var (outer, channels, inner) = perChannel ? (weight.Outer, weight.Channels, weight.Inner) : (1, 1, weight.Count);
        // One scale for the tensor has to be large enough for every channel.
        var least = perChannel || leastScale.IsEmpty ? leastScale : [TensorPrimitives.Max(leastScale)];
        if (rounding?.Knows(weight) != true)
            return new BlockQuantizer(Model, weight.Tensor, channels, inner, threads).Quantize(least);
        var values = Model.ReadFloats(weight.Tensor);
        var quantized = AffineQuantizer.QuantizeWeight(values, outer, channels, inner, least);
        if (rounding.Round(weight, values, quantized) is { } rounded)
            quantized = pairsSaturate ? PairSaturation.Safe(rounded, quantized, weight) : rounded;
        return (quantized, AffineQuantizer.Sqnr(values, quantized, channels, inner));
    }

    /// <summary>A bias that takes back the mean error of a quantized weight, where the data tells it.</summary>
    /// <param name="weight">Where the weight is.</param>
    /// <param name="value">Name of the node's data input before any rewrite.</param>
    /// <param name="bias">One value an output channel.</param>
    /// <param name="quantized">The weight in 8 bits.</param>
    /// <param name="channelMeans">The mean of each input channel for nodes without a Gram matrix, or null.</param>
    public float[] CorrectBias(NodeWeight weight, string value, float[] bias, QuantizedWeight quantized, double[]? channelMeans = null)
    {
        if (!Plan.BiasCorrection)
            return bias;
        if (rounding?.Knows(weight) == true)
            return rounding.CorrectBias(weight, value, bias, Model.ReadFloats(weight.Tensor), quantized);
        return channelMeans is null ? bias : BiasCorrection.Correct(bias, Model.ReadFloats(weight.Tensor), quantized, weight, channelMeans);
    }

    /// <summary>Gives a node with a constant bias the corrected one, as float.</summary>
    public void CorrectBias(GraphProto graph, NodeWeight weight, QuantizedWeight quantized)
    {
        var node = weight.Node;
        if (rounding?.Knows(weight) != true || weight.Bias is not { } tensor)
            return;
        var bias = Model.ReadFloats(tensor);
        var corrected = CorrectBias(weight, node.Input[0], bias, quantized);
        if (!ReferenceEquals(bias, corrected))
            node.Input[2] = Add<float>(graph, "b", DataType.Float, tensor.Dims, corrected);
    }

    /// <summary>Adds a weight's codes and scales. Nodes that read one weight share them, unless a bias asked for other scales.</summary>
    public (string Codes, string Scale) AddWeight(GraphProto graph, NodeWeight weight, QuantizedWeight quantized, IEnumerable<long> dims, sbyte[] codes)
    {
        var scales = Convert.ToHexString(SHA256.HashData(MemoryMarshal.AsBytes(quantized.Scales.AsSpan())));
        var key = $"{weight.Home} {weight.Node.Input[weight.Input]} {weight.ChannelAxis} {string.Join(',', dims)} {scales}";
        if (!_constants.TryGetValue((Number(graph), $"w {key}"), out var name))
            _constants[(Number(graph), $"w {key}")] = name = Add(graph, "w", dims, codes);
        return (name,
            Shared<float>(graph, $"sw {key}", "sw", DataType.Float, IsPerChannel(weight) ? [weight.Channels] : [], quantized.Scales));
    }

    /// <summary>A zero point in the type of the parameters, shared by equal ones.</summary>
    public string ZeroPoint(GraphProto graph, AffineParameters parameters) =>
        Shared<byte>(graph, $"z{parameters.Type}{parameters.ZeroPoint}", "z", parameters.Type, [], Bytes([parameters.ZeroPoint], parameters.Type));

    /// <summary>Adds codes in the type of the parameters.</summary>
    public string AddCodes(GraphProto graph, string prefix, IEnumerable<long> dims, int[] codes, DataType type) =>
        Add<byte>(graph, prefix, type, dims, Bytes(codes, type));

    private static byte[] Bytes(int[] codes, DataType type) => ElementTypes.Bits(type) == 8
        ? [.. codes.Select(c => (byte)c)]
        : [.. codes.SelectMany(c => new[] { (byte)c, (byte)(c >> 8) })];

    /// <summary>
    /// Makes QuantizeLinear or DequantizeLinear. 16-bit codes came to the operators of the standard with operator set 21;
    /// before that they are of the domain com.microsoft.
    /// </summary>
    public NodeProto QuantizationNode(string opType, string[] inputs, string output, DataType type)
    {
        var node = GraphExtensions.Node(opType, inputs, [output]);
        if (ElementTypes.Bits(type) == 16 && Model.Opset < 21)
        {
            node.Domain = "com.microsoft";
            if (!Model.Proto.OpsetImport.Any(o => o.Domain == node.Domain))
                Model.Proto.OpsetImport.Add(new OperatorSetIdProto { Domain = node.Domain, Version = 1 });
        }

        return node;
    }

    /// <summary>Records what became of a choice.</summary>
    public void Decide(FormChoice choice, string what, double? sqnr = null, long bytesAfter = 0) =>
        Decisions.Add(new Decision(choice.Node.DisplayName(), choice.Node.OpType, what, choice.Reason)
        {
            Sqnr = sqnr,
            OutputNoise = choice.OutputNoise,
            BytesBefore = choice.Weights.Sum(w => w.Bytes),
            BytesAfter = choice.Form is null ? choice.Weights.Sum(w => w.Bytes) : bytesAfter,
        });
}
