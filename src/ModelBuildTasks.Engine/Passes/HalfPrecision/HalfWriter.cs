using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.HalfPrecision;

/// <summary>
/// Writes the decided types into a model. A value that is needed in both types is cast once, right behind what makes it, and every reader of the other
/// type, in whatever body, shares that Cast.
/// </summary>
internal sealed class HalfWriter(OnnxModel model, HalfGraph graph)
{
    private readonly NameAllocator _names = new(model);
    private readonly Dictionary<string, string> _halves = [];
    private readonly Dictionary<string, string> _floats = [];
    private readonly Dictionary<string, string> _constants = [];
    private readonly Dictionary<NodeProto, HalfNode> _nodes = new(ReferenceEqualityComparer.Instance);

    /// <summary>Casts that were written.</summary>
    public int Casts { get; private set; }

    public void Write()
    {
        foreach (var node in graph.Nodes)
            _nodes[node.Node] = node;
        foreach (var value in graph.Values.Values)
            Name(value);
        var decoders = WriteConstants();
        foreach (var owner in model.Graph.WithBodies().ToList())
        {
            var nodes = new List<NodeProto>(decoders.GetValueOrDefault(owner, []));
            nodes.AddRange(owner.Input.Select(i => graph.Values.GetValueOrDefault(i.Name)).OfType<HalfValue>().SelectMany(CastOf));
            foreach (var node in owner.Node)
            {
                var makes = _nodes.GetValueOrDefault(node)?.Makes ?? [];
                Write(node);
                nodes.Add(node);
                nodes.AddRange(makes.SelectMany(CastOf));
            }

            owner.Node.Clear();
            owner.Node.AddRange(nodes);
        }

        Declare();
    }

    /// <summary>The names of a value in both types. Outputs keep theirs.</summary>
    private void Name(HalfValue value)
    {
        var (own, other) = value.IsHalf ? (_halves, _floats) : (_floats, _halves);
        own[value.Name] = value.Name;
        if (!value.NeedsCast)
            return;
        // The name of an output goes to the Cast.
        var gives = value.Maker is not null && (value.IsHalf ? value.IsFloatOutput : value.IsHalfOutput);
        var fresh = _names.Next($"{value.Name}_{(value.IsHalf == gives ? "half" : "float")}");
        (own[value.Name], other[value.Name]) = gives ? (fresh, value.Name) : (value.Name, fresh);
    }

    private IEnumerable<NodeProto> CastOf(HalfValue value)
    {
        if (!value.NeedsCast)
            yield break;
        Casts++;
        yield return value.IsHalf
            ? Cast(_halves[value.Name], _floats[value.Name], DataType.Float)
            : Cast(_floats[value.Name], _halves[value.Name], DataType.Float16);
    }

    private static NodeProto Cast(string from, string to, DataType type) => GraphExtensions.Node("Cast", [from], [to]).Set("to", (long)type);

    private void Write(NodeProto node)
    {
        var half = _nodes.TryGetValue(node, out var mine) && mine.IsHalf;
        var indifferent = HalfOperators.IsIndifferent(node);
        for (var i = 0; i < node.Input.Count; i++)
        {
            var name = node.Input[i];
            if (graph.Values.TryGetValue(name, out var value))
            {
                var wantsHalf = indifferent ? value.IsHalf : half && !HalfOperators.IsAlwaysFloat(node, i);
                node.Input[i] = (wantsHalf ? _halves : _floats)[name];
            }
            else if (half && !indifferent && !HalfOperators.IsAlwaysFloat(node, i))
            {
                node.Input[i] = _constants.GetValueOrDefault(name, name);
            }
        }

        foreach (var value in mine?.Makes ?? [])
            node.Output[node.Output.IndexOf(value.Name)] = (value.IsHalf ? _halves : _floats)[value.Name];
        if (!half || !node.IsStandard())
            return;
        if (node.OpType == "Cast" && graph.Values.GetValueOrDefault(mine!.Makes[0].Name) is not null)
            node.Set("to", (long)DataType.Float16);
        if (node.OpType == "ConstantOfShape")
        {
            node.Set("value", node.Attribute("value")?.T is { } fill && (DataType)fill.DataType == DataType.Float
                ? HalfConversion.Tensor(model, fill.Name, fill) : model.CreateTensor<Half>("", DataType.Float16, [1], [Half.Zero]));
        }
    }

    /// <summary>Constants of float16 readers become float16; where there are others too, they are cast from it.</summary>
    /// <returns>The Casts of each graph.</returns>
    private Dictionary<GraphProto, List<NodeProto>> WriteConstants()
    {
        var decoders = new Dictionary<GraphProto, List<NodeProto>>(ReferenceEqualityComparer.Instance);
        var tensors = new Dictionary<TensorProto, TensorProto>(ReferenceEqualityComparer.Instance);
        var gone = GraphEdit.Set<NodeProto>();
        foreach (var constant in graph.Constants.Values.Where(c => c.Readers.Exists(r => r.IsHalf)))
        {
            var shared = constant.WantsFloat || constant.Readers.Exists(r => !r.IsHalf);
            var name = shared ? _names.Next($"{constant.Name}_half") : constant.Name;
            var half = HalfConversion.Tensor(model, name, constant.Tensor);
            _constants[constant.Name] = name;
            if (constant.Maker is not null)
            {
                // A Constant has no name for the tensor beside that of its output.
                gone.Add(constant.Maker);
                constant.Graph.Initializer.Add(half);
            }
            else
            {
                tensors[constant.Tensor] = half;
            }

            if (!shared)
                continue;
            if (!decoders.TryGetValue(constant.Graph, out var casts))
                decoders[constant.Graph] = casts = [];
            casts.Add(Cast(name, constant.Name, DataType.Float));
        }

        foreach (var owner in model.Graph.WithBodies())
        {
            for (var i = 0; i < owner.Initializer.Count; i++)
                owner.Initializer[i] = tensors.GetValueOrDefault(owner.Initializer[i], owner.Initializer[i]);
            GraphEdit.RemoveNodes(owner, gone);
        }

        return decoders;
    }

    /// <summary>Declared types follow; declarations of values that have another name now are gone.</summary>
    private void Declare()
    {
        var halves = graph.Values.Values.Where(v => v.IsHalf).Select(v => _halves[v.Name]).Concat(graph.Values.Values.Where(v => !v.IsHalf && v.NeedsCast).Select(v => _halves[v.Name])).ToHashSet();
        foreach (var owner in model.Graph.WithBodies())
        {
            foreach (var value in owner.ValueInfo.Concat(owner.Input).Concat(owner.Output).Where(v => halves.Contains(v.Name)))
                value.Type?.TensorType?.ElemType = (int)DataType.Float16;
        }
    }
}
