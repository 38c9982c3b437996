using System.Collections.Concurrent;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Statistics;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.Quantization;

/// <summary>
/// Groups of values that share one scale and zero point: what goes into and comes out of data movement, and what a Concat joins.
/// A Concat whose inputs have its own scale only copies, and rounds nothing a second time.
/// </summary>
internal sealed class ScaleGroups
{
    private readonly StaticGraph _part;
    private readonly GraphIndex _index;
    private readonly Dictionary<string, string> _parents = [];
    private readonly Dictionary<string, Members> _groups = [];
    private readonly QuantizePlan _plan;
    private readonly ConcurrentDictionary<string, AffineParameters> _known;

    /// <summary>Forms the groups.</summary>
    /// <param name="part">The 8-bit part of the graph.</param>
    /// <param name="index">The graph's index.</param>
    /// <param name="statistics">What was seen of each value that gets a scale.</param>
    /// <param name="plan">How ranges are found.</param>
    /// <param name="known">Scales found before for equal groups of the same model.</param>
    /// <param name="rules">Ranges and types that are fixed, whatever was observed.</param>
    public ScaleGroups(
        StaticGraph part, GraphIndex index, IReadOnlyDictionary<string, TensorStatistics> statistics, QuantizePlan plan,
        ConcurrentDictionary<string, AffineParameters> known, RuleSet? rules = null)
    {
        _part = part;
        _index = index;
        _plan = plan;
        _known = known;
        foreach (var name in statistics.Keys)
        {
            _parents[name] = name;
            _groups[name] = Single(name, statistics[name]);
            _groups[name].Fixed = rules?.Range(name);
            _groups[name].Type = rules?.Type(name);
        }

        foreach (var node in part.Nodes.Where(n => part.RoleOf(n) == OperatorRole.Movement && !part.Weighted.Contains(n)))
        {
            foreach (var output in part.UsedOutputs(node))
                Join(node.Input[0], node.Output[output]);
        }

        foreach (var node in part.Nodes.Where(n => n.OpType == "Concat"))
        {
            foreach (var input in node.Input.Where(i => _index.Consumers(i).Count == 1 && !_index.IsOutput(i)))
            {
                if (MayJoin(input, node.Output[0]))
                    Join(input, node.Output[0]);
            }
        }
    }

    /// <summary>The name that stands for a value's group.</summary>
    public string Find(string name)
    {
        while (_parents[name] != name)
            name = _parents[name] = _parents[_parents[name]];
        return name;
    }

    /// <summary>What is known of a value's group, and what decides its scale: the same text for equal groups of other assignments.</summary>
    public (string Key, TensorStatistics Statistics, double? UpperBound, bool IsFixed) Group(string name)
    {
        var group = _groups[Find(name)];
        return (group.Key, group.Statistics, group.UpperBound, group.FixedRange is not null || group.Fixed is not null);
    }

    /// <summary>Scale and zero point of a value, the same for its whole group.</summary>
    public AffineParameters Parameters(string name)
    {
        var group = _groups[Find(name)];
        return group.Parameters ??= _known.GetOrAdd(group.Key, _ => Search(group));
    }

    /// <summary>The format of a value's group: the one that a rule asks for.</summary>
    public ActivationFormat FormatOf(string name) => FormatOf(_groups[Find(name)]);

    private ActivationFormat FormatOf(Members group) => _part.Runtime.Formats.Activations.FirstOrDefault(f => f.Type == group.Type) ?? Format;

    /// <summary>The format of values that no rule names: the one that the pass asks for.</summary>
    public ActivationFormat Format => _part.Runtime.Formats.Activation(_plan.Activations)
        ?? throw new InvalidOperationException($"{_part.Runtime.Name} has no such activations");

    private AffineParameters Search(Members group)
    {
        if (group.FixedRange is { } wanted)
            return AffineQuantizer.FixedParameters(wanted, FormatOf(group));
        // A mean over many positions averages rounding away and keeps what a cut took: nothing may be cut before it.
        var calibrator = _plan.Calibrator == Calibrator.Mse && group.IsAveraged ? Calibrator.MinMax : _plan.Calibrator;
        var range = group.Fixed ?? ActivationRanges.Find(group.Statistics, FormatOf(group), calibrator, _plan.Percentile, group.IsAveraged);
        if (group.UpperBound is { } bound)
            range = new ValueRange(0, Math.Min(range.Max, bound));
        return AffineQuantizer.Parameters(range, FormatOf(group));
    }

    private Members Single(string name, TensorStatistics statistics)
    {
        var producer = _index.Producer(name);
        // The absorbed activation's name is the value's; its bound has to hold for the whole group.
        var activation = _part.Nodes.FirstOrDefault(n => _part.Absorbed(n)?.Node == producer && producer is not null) is { } node ? _part.Absorbed(node) : null;
        return new Members(name, statistics)
        {
            UpperBound = activation?.Max,
            FixedRange = producer is not null && _part.Contains(producer) && _part.Runtime.Formats.FixedRanges.TryGetValue(producer.OpType, out var ends)
                ? new ValueRange(ends.Min, ends.Max) : null,
            IsAveraged = _index.Consumers(name).Any(c => c.Is("GlobalAveragePool") || c.Is("ReduceMean")),
        };
    }

    /// <summary>Whether a joined range would still cut where the absorbed activations of both groups cut.</summary>
    private bool MayJoin(string a, string b)
    {
        if (!_parents.ContainsKey(a) || !_parents.ContainsKey(b))
            return false;
        Members left = _groups[Find(a)], right = _groups[Find(b)];
        if (left.FixedRange != right.FixedRange || left.Type != right.Type)
            return false;
        if (left.UpperBound is null && right.UpperBound is null)
            return true;
        var bound = Math.Min(left.UpperBound ?? double.PositiveInfinity, right.UpperBound ?? double.PositiveInfinity);
        return Math.Min(left.Statistics.Min, right.Statistics.Min) >= 0 && Math.Max(left.Statistics.Max, right.Statistics.Max) <= bound;
    }

    private void Join(string a, string b)
    {
        if (!_parents.ContainsKey(a) || !_parents.ContainsKey(b))
            return;
        string left = Find(a), right = Find(b);
        if (left == right)
            return;
        var (into, from) = (_groups[left], _groups[right]);
        into.Add(from);
        if (into.UpperBound is not null || from.UpperBound is not null)
            into.UpperBound = Math.Min(into.UpperBound ?? double.PositiveInfinity, from.UpperBound ?? double.PositiveInfinity);
        into.FixedRange ??= from.FixedRange;
        into.Type ??= from.Type;
        into.IsAveraged |= from.IsAveraged;
        // One scale has to hold what either rule says.
        into.Fixed = into.Fixed is { } x && from.Fixed is { } y ? new(Math.Min(x.Min, y.Min), Math.Max(x.Max, y.Max)) : into.Fixed ?? from.Fixed;
        _parents[right] = left;
        _groups.Remove(right);
    }

    private sealed class Members(string name, TensorStatistics statistics)
    {
        private readonly SortedSet<string> _members = new(StringComparer.Ordinal) { name };

        /// <summary>All members' statistics together; those of one member are its own and must not be merged into.</summary>
        public TensorStatistics Statistics { get; private set; } = statistics;

        /// <summary>What decides the scale.</summary>
        public string Key => $"{UpperBound} {IsAveraged} {FixedRange} {Fixed} {Type} {string.Join('\n', _members)}";

        public void Add(Members other)
        {
            if (_members.Count == 1)
            {
                var merged = new TensorStatistics();
                merged.Merge(Statistics);
                Statistics = merged;
            }

            Statistics.Join(other.Statistics);
            _members.UnionWith(other._members);
        }

        /// <summary>The least bound of the activations absorbed into the group's values; null when none is.</summary>
        public double? UpperBound { get; set; }

        /// <summary>The range that a rule fixes.</summary>
        public ValueRange? Fixed { get; set; }

        /// <summary>The type that a rule fixes.</summary>
        public DataType? Type { get; set; }

        /// <summary>Whether the mean of one of the values is taken.</summary>
        public bool IsAveraged { get; set; }

        /// <summary>The range that the runtime fixes for one of the values; null when it fixes none.</summary>
        public ValueRange? FixedRange { get; set; }

        public AffineParameters? Parameters { get; set; }
    }
}
