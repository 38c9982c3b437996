using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.CleanupSteps;

/// <summary>A constant: a tensor of the model, or a result that folding has computed and not stored yet.</summary>
/// <param name="owner">The model whose payload store has the values.</param>
/// <param name="tensor">The tensor.</param>
internal sealed class Known(OnnxModel owner, TensorProto tensor)
{
    public OnnxModel Owner => owner;

    public TensorProto Tensor => tensor;

    public DataType Type => (DataType)Tensor.DataType;

    public IReadOnlyList<long> Dims => Tensor.Dims;

    public long Count => ElementTypes.Count(Tensor.Dims);

    public long Bytes => Owner.ByteLength(Tensor);

    public long[] Integers() => Owner.ReadInt64s(Tensor);

    public string Hash() => Tensor.HasPayloadRef ? Owner.Payloads[Tensor.PayloadRef].Hash() : "";

    public double[] Floats() => FloatValues.Read(Owner, Tensor);
}

/// <summary>The constants that the nodes of one graph see: its own, those of the graphs around it, and what was computed of them.</summary>
internal sealed class ConstantScope
{
    private readonly OnnxModel _model;
    private readonly ConstantScope? _outer;
    private readonly HashSet<string> _defined;
    private readonly Dictionary<string, Known> _constants = [];

    private ConstantScope(OnnxModel model, GraphIndex index, ConstantScope? outer)
    {
        _model = model;
        _outer = outer;
        _defined = GraphEdit.Definitions(index.Graph);
        Index = index;
    }

    public GraphIndex Index { get; }

    /// <summary>The scopes of all graphs of a model, outermost first.</summary>
    public static List<ConstantScope> All(OnnxModel model)
    {
        var scopes = new List<ConstantScope>();
        Add(model, model.Graph, null, scopes);
        return scopes;
    }

    /// <summary>A constant by the name under which nodes of this graph read it, or null; the same object each time.</summary>
    public Known? Find(string name)
    {
        if (_constants.TryGetValue(name, out var known))
            return known;
        if (!_defined.Contains(name))
            return _outer?.Find(name);
        return Index.Constant(name) is { } tensor ? _constants[name] = new Known(_model, tensor) : null;
    }

    /// <summary>The constants that a node reads, null for omitted inputs; null when one of them is computed.</summary>
    public Known?[]? Inputs(NodeProto node)
    {
        var inputs = new Known?[node.Input.Count];
        for (var i = 0; i < inputs.Length; i++)
        {
            if (node.Input[i].Length > 0 && (inputs[i] = Find(node.Input[i])) is null)
                return null;
        }

        return inputs;
    }

    /// <summary>Takes up a result that was computed.</summary>
    public void Add(string name, Known value) => _constants[name] = value;

    private static void Add(OnnxModel model, GraphProto graph, ConstantScope? outer, List<ConstantScope> scopes)
    {
        var scope = new ConstantScope(model, new GraphIndex(model, graph, outer?.Index), outer);
        scopes.Add(scope);
        foreach (var body in graph.Node.SelectMany(n => n.Bodies()))
            Add(model, body, scope, scopes);
    }
}
