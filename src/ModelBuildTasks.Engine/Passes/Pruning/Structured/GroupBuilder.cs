using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Pruning.Structured.Labels;
using ModelBuildTasks.Engine.Passes.Quantization.Search;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured;

/// <summary>Makes groups of the classes of cells: units whose indices lie on the same axes of the same constants are one group.</summary>
internal sealed class GroupBuilder
{
    private readonly Labelling _labelling;
    private readonly UnitWork _work;
    private readonly NodeMap _map;
    private readonly List<(int Graph, string Tensor)> _tensors = [];

    // For each class that can go: its indices on axes of constants.
    private readonly SortedDictionary<int, SortedDictionary<Place, List<int>>> _classes = [];
    private readonly Dictionary<int, List<(int Note, int Column)>> _consumed = [];
    private readonly Dictionary<int, List<(int Note, int Row)>> _produced = [];

    public GroupBuilder(Labelling labelling, UnitWork work)
    {
        (_labelling, _work, _map) = (labelling, work, new NodeMap(labelling.Model));
        foreach (var ((graph, tensor), axes) in labelling.Constants)
        {
            _tensors.Add((graph, tensor));
            for (var axis = 0; axis < axes.Length; axis++)
            {
                for (var i = 0; i < axes[axis]?.Length; i++)
                {
                    if (Class(axes[axis]![i]) is not { } root)
                        continue;
                    if (!_classes.TryGetValue(root, out var places))
                        _classes[root] = places = [];
                    var place = new Place(_tensors.Count - 1, axis);
                    if (!places.TryGetValue(place, out var indices))
                        places[place] = indices = [];
                    indices.Add(i);
                }
            }
        }

        for (var n = 0; n < labelling.Consumers.Count; n++)
            Note(_consumed, n, labelling.Consumers[n].Cells);
        for (var n = 0; n < labelling.Producers.Count; n++)
            Note(_produced, n, labelling.Producers[n].Cells);
    }

    /// <summary>The groups in the order of the nodes that make their units.</summary>
    public IReadOnlyList<(ChannelGroup Group, int[] Classes)> Build()
    {
        var groups = _classes
            .GroupBy(c => string.Join('\n', c.Value.Keys) + '\n' + string.Join(',', Notes(_produced, c.Key)) + '|' + string.Join(',', Notes(_consumed, c.Key)))
            .Select(g => g.OrderBy(c => FirstRow(c.Key)).ThenBy(c => c.Key).Select(c => c.Key).ToArray())
            .OrderBy(g => FirstProducer(g[0])).ThenBy(g => g[0]).ToList();
        return [.. groups.Select((classes, id) => (Group(classes, id), classes))];
    }

    private int? Class(int cell) => _labelling.Cells.Pin(cell) < 0 ? _labelling.Cells.Find(cell) : null;

    private void Note(Dictionary<int, List<(int, int)>> notes, int note, int[] cells)
    {
        for (var i = 0; i < cells.Length; i++)
        {
            if (cells[i] < 0 || Class(cells[i]) is not { } root)
                continue;
            if (!notes.TryGetValue(root, out var list))
                notes[root] = list = [];
            list.Add((note, i));
        }
    }

    private static IEnumerable<int> Notes(Dictionary<int, List<(int Note, int Index)>> notes, int root) =>
        notes.TryGetValue(root, out var list) ? list.Select(n => n.Note).Distinct().Order() : [];

    private int FirstProducer(int root) => Notes(_produced, root).DefaultIfEmpty(int.MaxValue).First();

    private int FirstRow(int root) => _produced.TryGetValue(root, out var list) ? list.MinBy(n => n.Note).Note is var first ? list.Where(n => n.Note == first).Min(n => n.Row) : 0 : 0;

    private ChannelGroup Group(int[] classes, int id)
    {
        var slices = classes.SelectMany(c => _classes[c].Keys).Distinct().Order()
            .Select(p => new ParameterSlice(_tensors[p.Tensor].Graph, _tensors[p.Tensor].Tensor, p.Axis, Role(p),
                [.. classes.Select(c => _classes[c].TryGetValue(p, out var list) ? list.ToArray() : [])])).ToList();
        var consumers = classes.SelectMany(c => Notes(_consumed, c)).Distinct().Order().Select(n => Consumer(n, classes)).ToList();
        var producers = classes.SelectMany(c => Notes(_produced, c)).Distinct().Order().Select(n => Producer(n, classes)).ToList();
        var all = classes.ToHashSet();
        return new ChannelGroup
        {
            Id = id,
            Name = producers.Count > 0 ? _map.Node(producers[0].Node).DisplayName() : slices[0].Tensor,
            Kind = Kind(all, producers),
            Units = classes.Length,
            Slices = slices,
            Consumers = consumers,
            Producers = producers,
            Parameters = [.. classes.Select((_, u) => _work.Parameters(slices, u))],
            Macs = [.. classes.Select((_, u) => _work.Macs(slices, u) + _work.Shared(classes[u]))],
            ReadByStatistics = _labelling.Statistics.Any(c => Class(c) is { } root && all.Contains(root)),
            HeldBack = HeldBack(slices),
        };
    }

    private SliceRole Role(Place place) => _labelling.Roles.GetValueOrDefault(new(_tensors[place.Tensor].Graph, _tensors[place.Tensor].Tensor, place.Axis), SliceRole.Offset);

    private string Kind(HashSet<int> classes, IReadOnlyList<ProducerSlice> producers)
    {
        foreach (var kind in new[] { "heads", "hidden", "width" })
        {
            // An addition of two parts of one node's channels makes no residual stream.
            if (kind == "width" && producers.Count < 2)
                continue;
            if (_labelling.Kinds[kind].Any(c => c >= 0 && Class(c) is { } root && classes.Contains(root)))
                return kind;
        }

        return producers.Count > 0 && producers.All(p => _map.Node(p.Node).OpType is "MatMul" or "Gemm") ? "hidden" : "channels";
    }

    private ConsumerSlice Consumer(int number, int[] classes)
    {
        var note = _labelling.Consumers[number];
        return new(note.Node, note.Input, note.Activation, [.. classes.Select(c => _consumed.GetValueOrDefault(c, []).Where(n => n.Note == number)
            .SelectMany(n => Enumerable.Range(n.Column * note.Taps, note.Taps)).Order().ToArray())]);
    }

    private ProducerSlice Producer(int number, int[] classes)
    {
        var note = _labelling.Producers[number];
        return new(note.Node, note.Input, [.. classes.Select(c => _produced.GetValueOrDefault(c, []).Where(n => n.Note == number).Select(n => n.Row).Order().ToArray())]);
    }

    /// <summary>Why other indices of the same axes stay.</summary>
    private IReadOnlyList<string> HeldBack(IReadOnlyList<ParameterSlice> slices) =>
    [
        .. slices.SelectMany(s => _labelling.Constants[(s.Graph, s.Tensor)][s.Axis]!)
            .Select(_labelling.Cells.Pin).Where(p => p >= 0).Distinct().Order()
            .Select(p => _labelling.Barriers[p]).Select(b => $"{b.Op} '{b.Node}': {b.Reason}"),
    ];

    /// <summary>An axis of a constant. Constants are in the order in which nodes read them: no name decides.</summary>
    private readonly record struct Place(int Tensor, int Axis) : IComparable<Place>
    {
        public int CompareTo(Place other) => (Tensor, Axis).CompareTo((other.Tensor, other.Axis));
    }
}
