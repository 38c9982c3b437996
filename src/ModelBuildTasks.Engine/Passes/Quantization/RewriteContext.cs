using System.Runtime.InteropServices;
using System.Security.Cryptography;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.Quantization;

/// <summary>What the rewrites of one pass share: the model being edited, fresh names, weights in 8 bits, decisions.</summary>
internal sealed class RewriteContext(OnnxModel model, QuantizePlan plan)
{
    private readonly Dictionary<(int, string), string> _constants = [];
    private readonly Dictionary<GraphProto, int> _graphs = new(ReferenceEqualityComparer.Instance);
    private int _next;

    public OnnxModel Model { get; } = model;

    public QuantizePlan Plan { get; } = plan;

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

    /// <summary>An initializer that equal values share, found again by <paramref name="key"/>.</summary>
    public string Shared<T>(GraphProto graph, string key, string prefix, DataType type, IEnumerable<long> dims, ReadOnlySpan<T> values) where T : unmanaged
    {
        if (!_constants.TryGetValue((Number(graph), key), out var name))
            _constants[(Number(graph), key)] = name = Add(graph, prefix, type, dims, values);
        return name;
    }

    /// <summary>A zero point of zeros in the weight type, shared by all weights with as many channels.</summary>
    public string WeightZeroPoint(GraphProto graph, long channels, bool perTensor) => perTensor
        ? Shared<sbyte>(graph, "zw", "zw", DataType.Int8, [], new sbyte[1])
        : Shared<sbyte>(graph, $"zw{channels}", "zw", DataType.Int8, [channels], new sbyte[channels]);

    /// <summary>Quantizes a weight and notes how well that went.</summary>
    public (QuantizedWeight Quantized, double Sqnr) Quantize(NodeWeight weight, ReadOnlySpan<float> leastScale = default)
    {
        var values = Model.ReadFloats(weight.Tensor);
        var (outer, channels, inner) = Plan.PerChannel ? (weight.Outer, weight.Channels, weight.Inner) : (1, 1, weight.Count);
        // One scale for the tensor has to be large enough for the bias of every channel.
        var least = Plan.PerChannel || leastScale.IsEmpty ? leastScale : [System.Numerics.Tensors.TensorPrimitives.Max(leastScale)];
        var quantized = AffineQuantizer.QuantizeWeight(values, outer, channels, inner, least);
        return (quantized, AffineQuantizer.Sqnr(values, quantized, channels, inner));
    }

    /// <summary>Adds a weight's codes and scales. Nodes that read one weight share them, unless a bias asked for other scales.</summary>
    public (string Codes, string Scale) AddWeight(GraphProto graph, NodeWeight weight, QuantizedWeight quantized, IEnumerable<long> dims, ReadOnlySpan<sbyte> codes)
    {
        var scales = Convert.ToHexString(SHA256.HashData(MemoryMarshal.AsBytes(quantized.Scales.AsSpan())));
        var key = $"{weight.Node.Input[weight.Input]} {weight.ChannelAxis} {string.Join(',', dims)} {scales}";
        return (Shared(graph, $"w {key}", "w", DataType.Int8, dims, codes),
            Shared<float>(graph, $"sw {key}", "sw", DataType.Float, Plan.PerChannel ? [weight.Channels] : [], quantized.Scales));
    }

    /// <summary>Records what became of a choice.</summary>
    public void Decide(FormChoice choice, string what, double? sqnr = null, long bytesAfter = 0) =>
        Decisions.Add(new Decision(choice.Node.DisplayName(), choice.Node.OpType, what, choice.Reason)
        {
            Sqnr = sqnr,
            BytesBefore = choice.Weights.Sum(w => w.Bytes),
            BytesAfter = choice.Form is null ? choice.Weights.Sum(w => w.Bytes) : bytesAfter,
        });
}
