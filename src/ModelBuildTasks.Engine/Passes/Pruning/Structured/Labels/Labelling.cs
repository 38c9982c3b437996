using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Quantization.Search;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured.Labels;

/// <summary>A barrier while the model is labelled.</summary>
internal sealed record BarrierNote(string Node, string Op, string Reason);

/// <summary>A weighted node that sums over cells.</summary>
internal sealed record ConsumerNote(NodeAddress Node, int Input, string Activation, int[] Cells, int Taps);

/// <summary>A weighted node that makes cells: one a row of its weight.</summary>
internal sealed record ProducerNote(NodeAddress Node, int Input, int[] Cells);

/// <summary>
/// Labels every axis of every value with cells, such that removing a class of cells everywhere leaves a model that fits together. Rules of operators say
/// which cells go together and which have to stay.
/// </summary>
internal sealed class Labelling
{
    private readonly IReadOnlyDictionary<string, ValueDescription> _shapes;
    private readonly List<Scope> _scopes = [];
    private readonly Dictionary<BarrierNote, int> _barrierNumbers = [];
    private readonly HashSet<(int Graph, string Tensor)> _parameters = [];

    private Labelling(OnnxModel model, IReadOnlyDictionary<string, ValueDescription> shapes) => (Model, _shapes) = (model, shapes);

    public OnnxModel Model { get; }

    public ChannelCells Cells { get; } = new();

    public IReadOnlyList<Scope> Scopes => _scopes;

    public List<BarrierNote> Barriers { get; } = [];

    /// <summary>Cells of the axes of constants that are data; null for axes of length 1.</summary>
    public Dictionary<(int Graph, string Tensor), int[]?[]> Constants { get; } = [];

    public Dictionary<ConstantAxis, SliceRole> Roles { get; } = [];

    public List<ConsumerNote> Consumers { get; } = [];

    public List<ProducerNote> Producers { get; } = [];

    /// <summary>What groups are called, by a cell; the first that fits is taken: heads, hidden, width.</summary>
    public Dictionary<string, HashSet<int>> Kinds { get; } = new() { ["heads"] = [], ["hidden"] = [], ["width"] = [] };

    /// <summary>Cells that a mean or variance is taken over.</summary>
    public HashSet<int> Statistics { get; } = [];

    /// <summary>Multiply-accumulates of products of two computed values, spread over the cells of their batch axes.</summary>
    public List<(NodeAddress Node, int[] Cells)> SharedWork { get; } = [];

    public static Labelling Of(OnnxModel model, IReadOnlyDictionary<string, ValueDescription> shapes)
    {
        var labelling = new Labelling(model, shapes);
        labelling.Run();
        return labelling;
    }

    /// <summary>The shape of a value without a run; null where the rank is not known.</summary>
    public long[]? Shape(string name) => _shapes.GetValueOrDefault(name)?.Shape;

    /// <summary>The element type of a value; float where it is not known.</summary>
    public TensorProto.Types.DataType Type(string name) => _shapes.GetValueOrDefault(name)?.Type ?? TensorProto.Types.DataType.Float;

    /// <summary>What is known of a value as a graph reads it. Constants get cells when they are first read as data.</summary>
    public ValueLabel Label(Scope scope, string name)
    {
        if (scope.Values.TryGetValue(name, out var label))
            return label;
        if (scope.Index.Constant(name) is { } tensor)
            return ConstantLabel(scope.Index.Home(name), name, tensor);
        var home = scope.Index.Home(name);
        // The graph around pins what its bodies read.
        var outer = home == scope.Number ? null : _scopes[home].Values.GetValueOrDefault(name)?.Layout;
        return new(outer is null ? null : Layout.Opaque(Enumerable.Range(0, outer.Rank).Select(outer.Length)), false);
    }

    /// <summary>The elements of a shape vector; null where it is not one.</summary>
    public Dimension[]? Vector(Scope scope, string name)
    {
        if (name.Length == 0)
            return null;
        if (scope.Shapes.TryGetValue(name, out var known))
            return known;
        return Integers(scope, name) is { } values ? [.. values.Select(v => new Dimension(v, null))] : null;
    }

    /// <summary>The values of a constant that says how an operator works: its indices cannot be cut out.</summary>
    public long[]? Integers(Scope scope, string name)
    {
        if (name.Length == 0 || scope.Index.Constant(name) is not { } tensor || tensor.Dims.Count > 1
            || (TensorProto.Types.DataType)tensor.DataType is not (TensorProto.Types.DataType.Int64 or TensorProto.Types.DataType.Int32) || (tensor.Dims.Count > 0 && tensor.Dims[0] > 1 << 20))
        {
            return null;
        }

        _parameters.Add((scope.Index.Home(name), name));
        return tensor.HasPayloadRef ? Model.ReadInt64s(tensor) : [];
    }

    /// <summary>The number of a barrier.</summary>
    public int Barrier(string node, string op, string reason)
    {
        var note = new BarrierNote(node, op, reason);
        if (!_barrierNumbers.TryGetValue(note, out var number))
        {
            _barrierNumbers[note] = number = Barriers.Count;
            Barriers.Add(note);
        }

        return number;
    }

    private ValueLabel ConstantLabel(int home, string name, TensorProto tensor)
    {
        // Elements that share bytes are left alone.
        if (ElementTypes.Bits((TensorProto.Types.DataType)tensor.DataType) < 8 || !tensor.HasPayloadRef)
            return new(Layout.Opaque(tensor.Dims), false);
        if (!Constants.TryGetValue((home, name), out var axes))
            Constants[(home, name)] = axes = [.. tensor.Dims.Select(d => d is > 1 and < int.MaxValue ? Cells.Fresh((int)d) : null)];
        return new(new Layout([.. axes.Select((cells, a) => cells is null
            ? Array.Empty<Atom>()
            : [Atom.Of(new Block([cells.Length], cells) { Origin = new(home, name, a) })])]), true);
    }

    private void Run()
    {
        foreach (var index in GraphEdit.Indexes(Model))
            _scopes.Add(new Scope(_scopes.Count, index));
        foreach (var scope in _scopes)
        {
            var graph = scope.Index.Graph;
            foreach (var input in graph.Input)
            {
                if (scope.Index.Constant(input.Name) is null)
                    scope.Values[input.Name] = new(Shape(input.Name) is { } shape ? Layout.Opaque(shape) : null, false);
                else
                    new Visit(this, scope, null).PinAll(Label(scope, input.Name).Layout, Barrier(input.Name, "Input", "the model's caller may give another value"));
            }

            for (var i = 0; i < graph.Node.Count; i++)
                Rules.OperatorRules.Apply(new Visit(this, scope, graph.Node[i]) { Address = new(scope.Number, i) });
            foreach (var output in graph.Output)
                new Visit(this, scope, null).PinAll(Label(scope, output.Name).Layout, Barrier(output.Name, "Output", scope.Number == 0 ? "it is an output of the model" : "it leaves a branch or the body of a loop"));
        }

        Splits.Tie(this);

        // A constant that is data here and says how an operator works there must stay what it is.
        foreach (var (key, axes) in Constants.Where(c => _parameters.Contains(c.Key)))
        {
            foreach (var cell in axes.OfType<int[]>().SelectMany(c => c))
                Cells.Pin(cell, Barrier(key.Tensor, "Constant", "it is data and says how an operator works, too"));
        }
    }
}
