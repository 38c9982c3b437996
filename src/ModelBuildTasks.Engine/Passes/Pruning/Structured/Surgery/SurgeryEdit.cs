using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Quantization.Search;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured.Surgery;

/// <summary>The clone while it is edited: new constants and nodes get their places at the end, so that addresses hold until then.</summary>
internal sealed class SurgeryEdit(OnnxModel clone, Cut cut)
{
    private readonly NodeMap _map = new(clone);
    private readonly NameAllocator _names = new(clone);
    private readonly List<(NodeAddress Beside, NodeProto Node, bool Behind)> _added = [];

    public Cut Cut => cut;

    public NodeProto Node(NodeAddress address) => _map.Node(address);

    public string Name(string basis) => _names.Next(basis);

    /// <summary>A new constant of int64; its name.</summary>
    public string Integers(NodeAddress user, string basis, long[] dims, params long[] values) => Add(user, clone.CreateTensor<long>(Name(basis), DataType.Int64, dims, values));

    /// <summary>A new constant vector of int64; its name.</summary>
    public string Vector(NodeAddress user, string basis, params long[] values) => Integers(user, basis, [values.Length], values);

    /// <summary>A new scalar of a float type; its name.</summary>
    public string Scalar(NodeAddress user, string basis, DataType type, double value) => Add(user, type switch
    {
        DataType.Float16 => clone.CreateTensor<Half>(Name(basis), type, [], [(Half)value]),
        DataType.Double => clone.CreateTensor<double>(Name(basis), type, [], [value]),
        DataType.Bfloat16 => clone.CreateTensor<ushort>(Name(basis), type, [], [(ushort)((BitConverter.SingleToUInt32Bits((float)value) + 0x8000) >> 16)]),
        _ => clone.CreateTensor<float>(Name(basis), DataType.Float, [], [(float)value]),
    });

    /// <summary>Puts a node before or behind another one.</summary>
    public void Insert(NodeAddress beside, NodeProto node, bool behind) => _added.Add((beside, node, behind));

    /// <summary>Gives new nodes their places, and forgets the shapes of values that have changed.</summary>
    public void Finish()
    {
        foreach (var graph in _added.GroupBy(a => a.Beside.Graph))
        {
            var nodes = _map.Graph(graph.First().Beside).Node;
            var old = nodes.ToList();
            nodes.Clear();
            for (var i = 0; i < old.Count; i++)
            {
                nodes.AddRange(graph.Where(a => a.Beside.Index == i && !a.Behind).Select(a => a.Node));
                nodes.Add(old[i]);
                nodes.AddRange(graph.Where(a => a.Beside.Index == i && a.Behind).Select(a => a.Node));
            }
        }

        var graphs = clone.Graph.WithBodies().ToList();
        foreach (var scope in cut.Labelling.Scopes)
            GraphEdit.Keep(graphs[scope.Number].ValueInfo, v => scope.Values.TryGetValue(v.Name, out var label) && label.Layout is { } layout && !layout.IsJoint && !cut.Changes(layout));
    }

    private string Add(NodeAddress user, TensorProto tensor)
    {
        _map.Graph(user).Initializer.Add(tensor);
        return tensor.Name;
    }
}

/// <summary>One node of the original and what has to change in the clone.</summary>
internal sealed record NodeCut(SurgeryEdit Edit, Labels.Scope Scope, NodeProto Node, NodeAddress Address)
{
    public Cut Cut => Edit.Cut;

    /// <summary>The node in the clone.</summary>
    public NodeProto Target => Edit.Node(Address);

    public Labels.Layout? Input(int input) => Node.InputOrEmpty(input).Length == 0 ? null : Cut.Labelling.Label(Scope, Node.Input[input]).Layout;

    public Labels.Layout? Output(int output) => Scope.Values.GetValueOrDefault(Node.Output[output])?.Layout;

    /// <summary>Replaces an integer list, wherever the operator's version has it.</summary>
    public void SetInts(string attribute, int input, params long[] values)
    {
        if (Node.Ints(attribute) is not null)
            Target.Set(attribute, values);
        else
            Target.SetInput(input, Edit.Vector(Address, attribute, values));
    }
}
