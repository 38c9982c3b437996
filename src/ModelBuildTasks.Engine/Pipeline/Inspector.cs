using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Reporting;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Pipeline;

/// <summary>Looks into a model file without running it.</summary>
public sealed class Inspector
{
    private const int Largest = 10;

    /// <summary>Fewer weights are not worth a scale; passes may decide otherwise.</summary>
    private const long WorthwhileWeights = 128;

    private readonly OnnxModel _model;
    private readonly RuntimePolicy _policy;
    private readonly List<(string Place, string Name, TensorProto Tensor)> _weights = [];
    private readonly List<LayerInspection> _layers = [];
    private readonly Dictionary<string, int> _operators = [];
    private readonly HashSet<TensorProto> _quantizable = new(ReferenceEqualityComparer.Instance);
    private int _quantizableLayers;
    private long _savedBytes;

    private Inspector(OnnxModel model, RuntimePolicy policy)
    {
        _model = model;
        _policy = policy;
    }

    /// <summary>Reads the graph; tensor values stay in the file.</summary>
    /// <exception cref="Diagnostics.ModelBuildException">MBT1009, MBT2001-2003: no readable model.</exception>
    public static Inspection Inspect(string path, RuntimePolicy policy)
    {
        using var original = Original.Open(path, CancellationToken.None);
        return new Inspector(original.Model, policy).Inspect(original);
    }

    private Inspection Inspect(Original original)
    {
        Visit(_model.Graph, null);
        foreach (var function in _model.Proto.Functions)
        {
            foreach (var node in function.Node)
                Count(node);
        }

        var proto = _model.Proto;
        var quantizableBytes = _quantizable.Sum(_model.ByteLength);
        var then = Math.Max(0, original.Size - _savedBytes);
        return new Inspection
        {
            File = Path.GetFileName(original.Files[0]),
            Size = original.Size,
            ExternalData = [.. original.Files.Skip(1).Select(f => Path.GetFileName(f))],
            IrVersion = proto.IrVersion,
            Opsets = new SortedDictionary<string, long>(proto.OpsetImport.GroupBy(o => o.Domain is "" ? "ai.onnx" : o.Domain).ToDictionary(g => g.Key, g => g.First().Version), StringComparer.Ordinal),
            Producer = $"{proto.ProducerName} {proto.ProducerVersion}".Trim(),
            Inputs = Values(original.Inputs.Select(i => i.Name).ToHashSet(), _model.Graph.Input),
            Outputs = Values(null, _model.Graph.Output),
            Operators = [.. _operators.Select(o => new OperatorInspection(o.Key, o.Value)).OrderByDescending(o => o.Count).ThenBy(o => o.Op, StringComparer.Ordinal)],
            Weights = [.. _weights
                .GroupBy(w => Type(w.Tensor))
                .Select(g => new WeightsInspection(ElementTypes.Name(g.Key), g.Count(), g.Sum(w => ElementTypes.Count(w.Tensor.Dims)), g.Sum(w => _model.ByteLength(w.Tensor))))
                .OrderByDescending(w => w.Bytes).ThenBy(w => w.Type, StringComparer.Ordinal)],
            WeightBytesByPlace = new SortedDictionary<string, long>(_weights.GroupBy(w => w.Place).ToDictionary(g => g.Key, g => g.Sum(w => _model.ByteLength(w.Tensor))), StringComparer.Ordinal),
            LargestWeights = [.. _weights
                .OrderByDescending(w => _model.ByteLength(w.Tensor)).Take(Largest)
                .Select(w => new TensorInspection(w.Name, ElementTypes.Name(Type(w.Tensor)), [.. w.Tensor.Dims], _model.ByteLength(w.Tensor)))],
            LargestLayers = [.. _layers.OrderByDescending(l => l.Bytes).Take(Largest)],
            Quantized = _operators.Keys.Any(IsQuantized),
            Int8 = new(_quantizableLayers, quantizableBytes, then, then > 0 ? Math.Round((double)original.Size / then, 2) : 1),
        };
    }

    private void Visit(GraphProto graph, GraphIndex? outer)
    {
        var index = new GraphIndex(_model, graph, outer);
        var body = outer is not null;
        foreach (var tensor in graph.Initializer)
            _weights.Add((body ? "bodies" : "initializers", tensor.Name, tensor));
        foreach (var node in graph.Node)
        {
            Count(node);
            foreach (var tensor in node.Attribute.Where(a => a.T is not null).Select(a => a.T))
                _weights.Add((body ? "bodies" : node.Is("Constant") ? "Constant nodes" : "other attributes", node.DisplayName(), tensor));
            var constants = node.Input.Select(index.Constant).OfType<TensorProto>().Distinct().ToList();
            if (constants.Sum(_model.ByteLength) is > 0 and var bytes)
                _layers.Add(new(node.DisplayName(), node.OpType, bytes));
            Estimate(node, index);
            foreach (var inner in node.Bodies())
                Visit(inner, index);
        }
    }

    private void Estimate(NodeProto node, GraphIndex index)
    {
        if (!node.IsStandard() || !_policy.Operators.TryGetValue(node.OpType, out var policy) || policy.Role != OperatorRole.Weighted)
            return;
        var weights = node.Input.Select(index.Constant).OfType<TensorProto>()
            .Where(t => t.Dims.Count >= 2 && ElementTypes.IsFloat(Type(t)) && ElementTypes.Count(t.Dims) >= WorthwhileWeights)
            .ToList();
        if (weights.Count == 0)
            return;
        _quantizableLayers++;
        foreach (var weight in weights.Where(_quantizable.Add))
        {
            // One scale (4 bytes) and zero point (1 byte) for each row of the first axis.
            var after = ElementTypes.Count(weight.Dims) + 5 * weight.Dims[0];
            _savedBytes += Math.Max(0, _model.ByteLength(weight) - after);
        }
    }

    private void Count(NodeProto node)
    {
        var name = node.IsStandard() ? node.OpType : $"{node.Domain}.{node.OpType}";
        _operators[name] = _operators.GetValueOrDefault(name) + 1;
    }

    private static bool IsQuantized(string op) =>
        op.Contains("Quantize", StringComparison.Ordinal) || op.Contains("QLinear", StringComparison.Ordinal)
        || op.EndsWith("Integer", StringComparison.Ordinal) || op.Contains("NBits", StringComparison.Ordinal);

    private static DataType Type(TensorProto tensor) => (DataType)tensor.DataType;

    private static List<ValueInspection> Values(HashSet<string>? only, IEnumerable<ValueInfoProto> values) =>
        [.. values.Where(v => only?.Contains(v.Name) ?? true).Select(v =>
        {
            var tensor = v.Type?.TensorType;
            var shape = tensor?.Shape?.Dim.Select(d => d.HasDimValue ? $"{d.DimValue}" : d.DimParam is { Length: > 0 } name ? name : "?").ToList();
            return new ValueInspection(v.Name, tensor is null ? "other" : ElementTypes.Name((DataType)tensor.ElemType), shape);
        })];
}
