using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Pruning.Structured.Labels;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured.Rules;

/// <summary>
/// LSTM, GRU and RNN: a hidden state is a row of every gate in W, R, B and P, a column of R, and an element of the initial states. Both directions of a
/// bidirectional node share the axes of their weights and lose the same states.
/// </summary>
internal static class RecurrentRules
{
    /// <summary>Why the axes of directions stay, see <see cref="ConvolutionRules.Window"/>.</summary>
    public const string Direction = "it is a direction, or the batch of a state";

    private const string State = "the initial state, or what belongs to each hidden state, cannot shrink";

    public static bool Apply(Visit visit)
    {
        var node = visit.Node;
        var gates = node.OpType switch { "LSTM" => 4, "GRU" => 3, "RNN" => 1, _ => 0 };
        // No runtime of ours takes the batch first.
        if (gates == 0 || node.Int("layout") != 0)
            return false;
        var (input, w, r) = (visit.Simple(0, 3, a => a == 2 ? 1 : 0), visit.Simple(1), visit.Simple(2));
        if (input.Rank != 3 || w.Rank != 3 || r.Rank != 3 || r.Length(2) is not (> 1 and < int.MaxValue) || visit.CellsOf(r, 2) is not { } hidden)
            return false;
        visit.Pin(input, 0, "it steps along it");
        visit.Pin(input, 1, "it is its batch");
        foreach (var weight in new[] { w, r })
            visit.Pin(weight, 0, Direction);
        Read(visit, input, w);
        var size = hidden.Length;
        Repeated(visit, w, 1, hidden, SliceRole.Producer);
        Repeated(visit, r, 1, hidden, SliceRole.Producer);
        visit.Role(r, 2, SliceRole.Consumer);
        visit.Labelling.Consumers.Add(new(visit.Address, 2, node.Output.FirstOrDefault(o => o.Length > 0) ?? "", hidden, 1));
        foreach (var (weight, at) in new[] { (w, 1), (r, 2) })
        {
            if (weight.Axes[1].Any(t => t.Block?.Origin is not null))
                visit.Labelling.Producers.Add(new(visit.Address, at, Rows(visit, weight)));
        }

        if (visit.Has(3))
            Repeated(visit, visit.Simple(3), 1, hidden, SliceRole.Offset);
        if (visit.Has(4))
            visit.PinAll(visit.Simple(4), visit.Barrier(State));
        foreach (var at in node.OpType == "LSTM" ? new[] { 5, 6 } : [5])
        {
            if (visit.Has(at) && !IsZeroState(visit.Labelling.Model, visit.Scope.Index, node.Input[at]))
                Repeated(visit, visit.Simple(at), 2, hidden, SliceRole.Other);
        }

        if (node.OpType == "LSTM" && visit.Has(7))
            Repeated(visit, visit.Simple(7), 1, hidden, SliceRole.Scale);
        visit.Labelling.Kinds["hidden"].UnionWith(hidden);

        IReadOnlyList<Atom> directions = w.Axes[0].Count == 0 ? [] : [Atom.Opaque(w.Length(0))];
        IReadOnlyList<Atom> state = [Atom.Of(Block.Of(hidden))];
        visit.Set(0, new Layout([input.Axes[0], directions, input.Axes[1], state]));
        visit.Set(1, new Layout([directions, input.Axes[1], state]));
        visit.Set(2, new Layout([directions, input.Axes[1], state]));
        return true;
    }

    /// <summary>Whether an initial state is zeros made to measure: leaving it out means the same.</summary>
    public static bool IsZeroState(OnnxModel model, GraphIndex index, string name) => index.Producer(name) is { } maker && maker.IsStandard() && maker.OpType switch
    {
        "ConstantOfShape" => maker.Attribute("value")?.T is not { HasPayloadRef: true } value || Array.TrueForAll(model.ReadBytes(value), b => b == 0),
        "Expand" or "Tile" => index.Constant(maker.Input[0]) is { HasPayloadRef: true } filled && Array.TrueForAll(model.ReadBytes(filled), b => b == 0),
        _ => false,
    };

    private static void Read(Visit visit, Layout input, Layout w)
    {
        visit.Role(w, 2, SliceRole.Consumer);
        if (visit.CellsOf(w, 2) is { } cells)
            visit.Labelling.Consumers.Add(new(visit.Address, 1, visit.Node.Input[0], cells, 1));
        visit.Tie(input, 2, w, 2, "it reads what cannot shrink");
    }

    /// <summary>An axis that has the hidden states one or several times.</summary>
    private static void Repeated(Visit visit, Layout layout, int axis, int[] hidden, SliceRole role)
    {
        if (axis >= layout.Rank || layout.Length(axis) < 0 || layout.Length(axis) % hidden.Length != 0)
        {
            visit.PinAll(layout, visit.Barrier(State));
            visit.Pin(hidden, visit.Barrier(State));
            return;
        }

        // Directions, and of a state the batch.
        for (var other = 0; other < layout.Rank; other++)
        {
            if (other != axis && other < 2)
                visit.Pin(layout, other, Direction);
        }

        visit.Role(layout, axis, role);
        var times = (int)layout.Length(axis) / hidden.Length;
        visit.Tie(layout, axis, new Layout([[Atom.Of(Block.Of([.. Enumerable.Range(0, times).SelectMany(_ => hidden)]))]]), 0, State);
    }

    private static int[] Rows(Visit visit, Layout weight)
    {
        var rows = visit.CellsOf(weight, 1)!;
        return [.. Enumerable.Range(0, (int)Math.Max(1, weight.Length(0))).SelectMany(_ => rows)];
    }
}
