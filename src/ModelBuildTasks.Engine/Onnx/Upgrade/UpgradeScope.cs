using ModelBuildTasks.Engine.Data;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Onnx.Upgrade;

/// <summary>What the adapters share while one model is upgraded.</summary>
internal sealed class UpgradeScope(OnnxModel original, OnnxModel model)
{
    // Messages compare by content, and graphs change all the time.
    private readonly Dictionary<GraphProto, Dictionary<string, string>> _constants = new(ReferenceEqualityComparer.Instance);
    private readonly Lazy<IReadOnlyDictionary<string, ValueDescription>> _types = new(() => ValueTypes.Infer(original));
    private readonly Lazy<bool> _onlyFloat32 = new(() => OnlyFloat32(original.Proto));

    /// <summary>The model that is being rewritten.</summary>
    public OnnxModel Model { get; } = model;

    /// <summary>Names that are free in every graph of the model.</summary>
    public NameAllocator Names { get; } = new(model);

    /// <summary>Nodes that came from an <c>Upsample</c>.</summary>
    public HashSet<NodeProto> Upsampling { get; } = new(ReferenceEqualityComparer.Instance);

    /// <summary>Types by value name.</summary>
    public IReadOnlyDictionary<string, ValueDescription> Types => _types.Value;

    /// <summary>The type of a value of a float type, or null when it cannot be told.</summary>
    public DataType? FloatType(string value)
    {
        if (Types.TryGetValue(value, out var known))
            return ElementTypes.IsFloat(known.Type) ? known.Type : null;
        return _onlyFloat32.Value ? DataType.Float : null;
    }

    /// <summary>An initializer of the given content in a graph; equal contents share one.</summary>
    public string Constant(GraphProto graph, string name, TensorProto tensor)
    {
        var content = $"{tensor.DataType}:{string.Join(',', tensor.Dims)}:{Convert.ToBase64String(Model.ReadBytes(tensor))}";
        if (!_constants.TryGetValue(graph, out var constants))
            _constants[graph] = constants = [];
        if (!constants.TryGetValue(content, out var known))
        {
            constants[content] = known = Names.Next(name);
            tensor.Name = known;
            graph.Initializer.Add(tensor);
        }

        return known;
    }

    /// <summary>
    /// Whether no other float type than float32 is named anywhere: such values can only come from inputs, tensors, or a
    /// <c>dtype</c> or <c>to</c> attribute. Then a value of unknown type at a place for floats is float32.
    /// </summary>
    private static bool OnlyFloat32(ModelProto proto)
    {
        var tensors = TensorWalk.All(proto).Select(t => t.DataType);
        var graphs = proto.Graph.WithBodies().ToList();
        var values = graphs.SelectMany(g => g.Input.Concat(g.Output).Concat(g.ValueInfo)).Select(v => v.Type?.TensorType?.ElemType ?? 0);
        var attributes = graphs.SelectMany(g => g.Node).SelectMany(n => n.Attribute).Where(a => a.Name is "to" or "dtype").Select(a => (int)a.I);
        return !tensors.Concat(values).Concat(attributes).Any(t => (DataType)t is DataType.Float16 or DataType.Double or DataType.Bfloat16)
            && graphs.SelectMany(g => g.Node).All(GraphExtensions.IsStandard);
    }
}
