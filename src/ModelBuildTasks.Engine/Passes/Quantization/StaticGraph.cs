using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.Quantization;

/// <summary>A Relu or a Clip from zero that is joined with its producer: nothing is quantized between the two.</summary>
/// <param name="Node">The activation.</param>
/// <param name="Max">Its upper bound; infinity for Relu.</param>
internal sealed record AbsorbedActivation(NodeProto Node, double Max);

/// <summary>
/// The part of the main graph that runs on 8-bit activations: the statically quantized weighted nodes, and between them the
/// arithmetic and data movement that keeps values in 8 bits from one to the next. Nodes that would only lead out of that part
/// stay in float.
/// </summary>
internal sealed class StaticGraph
{
    private readonly GraphIndex _index;
    private readonly RuntimePolicy _runtime;
    private readonly HashSet<NodeProto> _quantized = new(ReferenceEqualityComparer.Instance);
    private readonly Dictionary<NodeProto, AbsorbedActivation> _absorbed = new(ReferenceEqualityComparer.Instance);
    private readonly HashSet<NodeProto> _gone = new(ReferenceEqualityComparer.Instance);

    public StaticGraph(OnnxModel model, GraphIndex index, RuntimePolicy runtime, IEnumerable<NodeProto> weighted)
    {
        _index = index;
        _runtime = runtime;
        Weighted = weighted.ToHashSet<NodeProto>(ReferenceEqualityComparer.Instance);
        Forward(model);
        Backward();
    }

    /// <summary>The weighted nodes.</summary>
    public IReadOnlySet<NodeProto> Weighted { get; }

    /// <summary>All nodes on 8-bit values, in graph order.</summary>
    public IEnumerable<NodeProto> Nodes => _index.Graph.Node.Where(_quantized.Contains);

    /// <summary>Whether the node computes or moves 8-bit values.</summary>
    public bool Contains(NodeProto node) => _quantized.Contains(node);

    /// <summary>What the runtime can execute.</summary>
    public RuntimePolicy Runtime => _runtime;

    /// <summary>Whether activations that are joined with their producer stay in the graph; otherwise they vanish in its range.</summary>
    public bool KeepsActivations => !_runtime.Formats.AbsorbsActivations;

    /// <summary>Whether the node is joined with its producer.</summary>
    public bool IsAbsorbed(NodeProto node) => _gone.Contains(node);

    /// <summary>The activation that is joined with the node, or null.</summary>
    public AbsorbedActivation? Absorbed(NodeProto node) => _absorbed.GetValueOrDefault(node);

    /// <summary>The value that a node's output is for the rest of the graph: behind the absorbed activation where there is one.</summary>
    public string FinalOutput(NodeProto node, int output = 0) =>
        output == 0 && _absorbed.TryGetValue(node, out var activation) ? activation.Node.Output[0] : node.Output[output];

    /// <summary>Whether the value is made in 8 bits.</summary>
    public bool IsMadeInside(string name)
    {
        var producer = _index.Producer(name);
        if (producer is null)
            return false;
        if (_gone.Contains(producer))
            return true;
        return _quantized.Contains(producer) && !_absorbed.ContainsKey(producer);
    }

    /// <summary>Inputs of a node that carry activations; the others are weights, shapes and indices.</summary>
    /// <param name="node">The node, of a float model.</param>
    /// <param name="index">Its graph: tells weights from activations.</param>
    public static IEnumerable<int> DataInputs(NodeProto node, GraphIndex index) => node.OpType switch
    {
        "Concat" => Enumerable.Range(0, node.Input.Count),
        "Add" or "Mul" or "Sub" or "Div" => [0, 1],
        "MatMul" when IsProduct(node, index) => [0, 1],
        _ => [0],
    };

    /// <summary>Whether a node multiplies two activations, as attention does: a MatMul none of whose inputs is constant.</summary>
    public static bool IsProduct(NodeProto node, GraphIndex index) =>
        node.Is("MatMul") && node.Input.Count == 2 && node.Input.All(i => index.Constant(i) is null);

    /// <summary>Inputs of a node of this graph that carry activations.</summary>
    public IEnumerable<int> DataInputs(NodeProto node) => DataInputs(node, _index);

    /// <summary>Outputs of a node that somebody reads.</summary>
    public IEnumerable<int> UsedOutputs(NodeProto node) => Enumerable.Range(0, node.Output.Count)
        .Where(i => node.Output[i].Length > 0 && (_index.Consumers(node.Output[i]).Count > 0 || _index.IsOutput(node.Output[i])));

    /// <summary>Whether a node of the graph reads the value in 8 bits.</summary>
    public bool HasInsideConsumer(string name) =>
        _index.Consumers(name).Any(c => _quantized.Contains(c) && DataInputs(c, _index).Any(i => c.Input[i] == name));

    /// <summary>Whether the node's outputs are not quantized: a convolution is fused only with a quantized output, the other weighted nodes may give float where they lead nowhere inside.</summary>
    public bool GivesFloat(NodeProto node) =>
        Weighted.Contains(node) && node.OpType != "Conv" && !UsedOutputs(node).Any(i => HasInsideConsumer(FinalOutput(node, i)));

    /// <summary>
    /// Values made inside that float data movement carries into a body. ONNX Runtime moves the dequantization of such a value
    /// along and ends the process when it meets the body (1.31, QDQPropagationTransformer).
    /// </summary>
    public IEnumerable<string> MovedIntoBodies()
    {
        var carried = _index.Graph.Node.SelectMany(n => n.Bodies()).SelectMany(GraphIndex.Captures).ToHashSet();
        foreach (var node in _index.Graph.Node.Reverse().Where(n => !_quantized.Contains(n) && RoleOf(n) == OperatorRole.Movement))
        {
            if (node.Output.Any(carried.Contains) && carried.Add(node.Input[0]) && IsMadeInside(node.Input[0]))
                yield return node.Input[0];
        }
    }

    /// <summary>The role a node plays between weighted nodes, or null when it stays in float.</summary>
    public OperatorRole? RoleOf(NodeProto node) => RoleOf(node, _runtime);

    /// <summary>The role a node plays between weighted nodes under a policy, or null when it stays in float.</summary>
    public static OperatorRole? RoleOf(NodeProto node, RuntimePolicy runtime)
    {
        if (!node.IsStandard() || !runtime.Operators.TryGetValue(node.OpType, out var policy))
            return null;
        return node.OpType switch
        {
            // In 8 bits only the nearest-neighbour form moves values; the others compute.
            "Resize" or "Upsample" => node.String("mode", "nearest") == "nearest" ? policy.Role : null,
            // With a second output the largest value's place is asked for, which has no 8-bit kernel.
            "MaxPool" => node.Output.Count == 1 ? policy.Role : null,
            _ => policy.Role,
        };
    }

    private void Forward(OnnxModel model)
    {
        foreach (var node in _index.Graph.Node)
        {
            if (Weighted.Contains(node) || IsCarrier(model, node))
            {
                _quantized.Add(node);
                if (RoleOf(node) != OperatorRole.Movement && node.OpType != "Concat" && ActivationBehind(model, node) is { } activation)
                {
                    _absorbed[node] = activation;
                    _gone.Add(activation.Node);
                }
            }
        }
    }

    private bool IsCarrier(OnnxModel model, NodeProto node)
    {
        if (RoleOf(node) is not (OperatorRole.Arithmetic or OperatorRole.Movement) || node.Output.Count == 0)
            return false;
        var inputs = DataInputs(node, _index).Select(i => node.InputOrEmpty(i)).ToList();
        return inputs.Count > 0 && inputs.Any(IsMadeInside) && inputs.All(name => IsMadeInside(name) || IsConstantOperand(model, node, name));
    }

    // An infinity, as in a mask, has no place in an 8-bit range.
    private bool IsConstantOperand(OnnxModel model, NodeProto node, string name) =>
        node.OpType is "Add" or "Mul" or "Sub" or "Div" && _index.Constant(name) is { } tensor && (DataType)tensor.DataType == DataType.Float
        && Array.TrueForAll(model.ReadFloats(tensor), float.IsFinite);

    private AbsorbedActivation? ActivationBehind(OnnxModel model, NodeProto node)
    {
        var output = node.Output[0];
        if (_index.IsOutput(output) || _index.Consumers(output) is not [var next] || RoleOf(next) != OperatorRole.Activation || next.Input[0] != output)
            return null;
        switch (next.OpType)
        {
            case "Relu":
                return new AbsorbedActivation(next, double.PositiveInfinity);
            case "Clip":
                var min = next.InputOrEmpty(1) is { Length: > 0 } low ? Scalar(model, low) : double.NegativeInfinity;
                var max = next.InputOrEmpty(2) is { Length: > 0 } high ? Scalar(model, high) : double.PositiveInfinity;
                return min == 0 && max > 0 ? new AbsorbedActivation(next, max.Value) : null;
            default:
                return null;
        }
    }

    private double? Scalar(OnnxModel model, string name) =>
        _index.Constant(name) is { } tensor && (DataType)tensor.DataType == DataType.Float && model.ReadFloats(tensor) is [var value] ? value : null;

    private void Backward()
    {
        foreach (var node in _index.Graph.Node.Reverse())
        {
            if (!_quantized.Contains(node))
                continue;
            var outputs = UsedOutputs(node).Select(i => FinalOutput(node, i));
            var leadsOn = outputs.Any(HasInsideConsumer);
            // A convolution is fused only with a quantized output; the other weighted nodes may give float.
            if (leadsOn || node.OpType == "Conv")
                continue;
            if (_absorbed.Remove(node, out var activation))
                _gone.Remove(activation.Node);
            if (!Weighted.Contains(node))
                _quantized.Remove(node);
        }
    }
}
