using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.HalfPrecision;

/// <summary>A node with float32 inputs or outputs.</summary>
internal sealed class HalfNode(NodeProto node, GraphProto graph)
{
    public NodeProto Node => node;

    /// <summary>The graph it is in.</summary>
    public GraphProto Graph => graph;

    /// <summary>Why it stays float32; null where it computes in float16.</summary>
    public string? Reason { get; set; }

    public bool IsHalf => Reason is null;

    /// <summary>Whether it may not become float32 just to save a Cast.</summary>
    public bool IsHeavy { get; set; }

    /// <summary>Computed float32 values that it reads.</summary>
    public List<HalfValue> Reads { get; } = [];

    /// <summary>float32 values that it makes.</summary>
    public List<HalfValue> Makes { get; } = [];

    /// <summary>float32 constants that it reads where their type is that of the operator.</summary>
    public List<HalfConstant> Constants { get; } = [];
}

/// <summary>A computed float32 value.</summary>
internal sealed class HalfValue(string name, GraphProto graph)
{
    public string Name => name;

    /// <summary>The graph that makes it.</summary>
    public GraphProto Graph => graph;

    /// <summary>The node that makes it; null for inputs.</summary>
    public HalfNode? Maker { get; set; }

    /// <summary>Whether it is an input that is float16.</summary>
    public bool IsHalfInput { get; set; }

    /// <summary>Nodes that read it in their own type.</summary>
    public List<HalfNode> Readers { get; } = [];

    /// <summary>Whether something wants it as float32 whatever its type is: an output, an input of an operator that is always float32.</summary>
    public bool WantsFloat { get; set; }

    /// <summary>Whether it is an output of its name in float32.</summary>
    public bool IsFloatOutput { get; set; }

    /// <summary>Whether it is an output of its name in float16.</summary>
    public bool IsHalfOutput { get; set; }

    public bool IsHalf => Maker?.IsHalf ?? IsHalfInput;

    /// <summary>Whether it is needed in the type that it is not made in.</summary>
    public bool NeedsCast => IsHalf
        ? WantsFloat || IsFloatOutput || Readers.Exists(r => !r.IsHalf)
        : IsHalfOutput || Readers.Exists(r => r.IsHalf);
}

/// <summary>A float32 constant.</summary>
internal sealed class HalfConstant(string name, GraphProto graph, TensorProto tensor, NodeProto? maker)
{
    public string Name => name;

    public GraphProto Graph => graph;

    public TensorProto Tensor => tensor;

    /// <summary>The Constant; null for an initializer.</summary>
    public NodeProto? Maker => maker;

    public List<HalfNode> Readers { get; } = [];

    public bool WantsFloat { get; set; }

    public HalfLoss Loss { get; set; } = new(200, null);
}

/// <summary>The float32 values and constants of a model whose names are unique, in all its graphs.</summary>
internal sealed class HalfGraph
{
    private readonly IReadOnlyDictionary<string, ValueDescription> _types;

    public HalfGraph(OnnxModel model, bool keepIo)
    {
        _types = ValueTypes.Infer(model);
        foreach (var graph in model.Graph.WithBodies())
            Define(graph, ReferenceEquals(graph, model.Graph), keepIo);
        foreach (var graph in model.Graph.WithBodies())
        {
            foreach (var node in graph.Node)
                Connect(graph, node);
            foreach (var output in graph.Output)
                Leave(output.Name, !keepIo && ReferenceEquals(graph, model.Graph));
        }
    }

    /// <summary>Nodes in graph order, bodies behind the graph around them.</summary>
    public List<HalfNode> Nodes { get; } = [];

    public Dictionary<string, HalfValue> Values { get; } = [];

    public Dictionary<string, HalfConstant> Constants { get; } = [];

    /// <summary>The element type of a value, or null.</summary>
    public DataType? Type(string name) => _types.TryGetValue(name, out var known) ? known.Type : null;

    private void Define(GraphProto graph, bool isMain, bool keepIo)
    {
        var inputs = graph.Input.Select(i => i.Name).ToHashSet();
        foreach (var tensor in graph.Initializer.Where(t => (DataType)t.DataType == DataType.Float && !inputs.Contains(t.Name)))
            Constants[tensor.Name] = new(tensor.Name, graph, tensor, null);
        foreach (var node in graph.Node.Where(n => n.Is("Constant")))
        {
            if (node.Attribute("value")?.T is { } tensor && (DataType)tensor.DataType == DataType.Float)
                Constants[node.Output[0]] = new(node.Output[0], graph, tensor, node);
        }

        var given = graph.Initializer.Select(t => t.Name).ToHashSet();
        foreach (var name in graph.Input.Select(i => i.Name).Where(n => Type(n) == DataType.Float))
            Values[name] = new(name, graph) { IsHalfInput = isMain && !keepIo && !given.Contains(name) };
        foreach (var name in graph.Node.SelectMany(n => n.Output).Where(n => n.Length > 0 && !Constants.ContainsKey(n) && Type(n) == DataType.Float))
            Values[name] = new(name, graph);
    }

    private void Connect(GraphProto graph, NodeProto node)
    {
        if (node.Output.Any(Constants.ContainsKey))
            return;
        var mine = new HalfNode(node, graph) { IsHeavy = HalfOperators.IsHeavy(node) };
        var indifferent = HalfOperators.IsIndifferent(node);
        for (var i = 0; i < node.Input.Count; i++)
        {
            var always = node.IsStandard() && HalfOperators.IsAlwaysFloat(node, i);
            if (Values.TryGetValue(node.Input[i], out var value))
            {
                value.WantsFloat |= always;
                if (!always && !indifferent)
                {
                    value.Readers.Add(mine);
                    mine.Reads.Add(value);
                }
            }
            else if (Constants.TryGetValue(node.Input[i], out var constant))
            {
                constant.WantsFloat |= always || indifferent;
                if (!always && !indifferent)
                {
                    constant.Readers.Add(mine);
                    mine.Constants.Add(constant);
                }
            }
        }

        foreach (var value in node.Output.Where(Values.ContainsKey).Select(o => Values[o]))
        {
            value.Maker = mine;
            mine.Makes.Add(value);
        }

        if (mine.Reads.Count + mine.Makes.Count + mine.Constants.Count == 0)
            return;
        Nodes.Add(mine);
        // Without its type a value cannot be cast; whoever touches it is left as it is.
        var unknown = node.Input.Concat(node.Output).FirstOrDefault(n => n.Length > 0 && Type(n) is null && !Constants.ContainsKey(n));
        mine.Reason = unknown is null ? null : $"the type of '{unknown}' is not known";
    }

    private void Leave(string name, bool half)
    {
        if (Values.TryGetValue(name, out var value))
        {
            value.IsHalfOutput |= half;
            value.IsFloatOutput |= !half;
        }
        else if (Constants.TryGetValue(name, out var constant))
        {
            constant.WantsFloat = true;
        }
    }
}
