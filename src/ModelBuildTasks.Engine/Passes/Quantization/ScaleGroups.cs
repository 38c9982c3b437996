using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Statistics;

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
    private readonly Dictionary<string, Group> _groups = [];

    public ScaleGroups(StaticGraph part, GraphIndex index, IReadOnlyDictionary<string, TensorStatistics> statistics)
    {
        _part = part;
        _index = index;
        foreach (var name in statistics.Keys)
        {
            _parents[name] = name;
            _groups[name] = Single(name, statistics[name]);
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

    /// <summary>Scale and zero point of a value, the same for its whole group.</summary>
    public AffineParameters Parameters(string name, QuantizePlan plan)
    {
        var group = _groups[Find(name)];
        if (group.Parameters is { } known)
            return known;
        // A mean over many positions averages rounding away and keeps what a cut took: nothing may be cut before it.
        var calibrator = plan.Calibrator == Calibrator.Mse && group.IsAveraged ? Calibrator.MinMax : plan.Calibrator;
        var range = RangeSearch.Find(group.Statistics, calibrator, plan.Percentile);
        if (group.UpperBound is { } bound)
            range = new ValueRange(0, Math.Min(range.Max, bound));
        group.Parameters = AffineQuantizer.Unsigned8(range);
        return group.Parameters.Value;
    }

    private Group Single(string name, TensorStatistics statistics)
    {
        var merged = new TensorStatistics();
        merged.Merge(statistics);
        var producer = _index.Producer(name);
        // The absorbed activation's name is the value's; its bound has to hold for the whole group.
        var activation = _part.Nodes.FirstOrDefault(n => _part.Absorbed(n)?.Node == producer && producer is not null) is { } node ? _part.Absorbed(node) : null;
        return new Group(merged)
        {
            UpperBound = activation?.Max,
            IsAveraged = _index.Consumers(name).Any(c => c.Is("GlobalAveragePool") || c.Is("ReduceMean")),
        };
    }

    /// <summary>Whether a joined range would still cut where the absorbed activations of both groups cut.</summary>
    private bool MayJoin(string a, string b)
    {
        if (!_parents.ContainsKey(a) || !_parents.ContainsKey(b))
            return false;
        Group left = _groups[Find(a)], right = _groups[Find(b)];
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
        into.Statistics.Merge(from.Statistics);
        if (into.UpperBound is not null || from.UpperBound is not null)
            into.UpperBound = Math.Min(into.UpperBound ?? double.PositiveInfinity, from.UpperBound ?? double.PositiveInfinity);
        into.IsAveraged |= from.IsAveraged;
        _parents[right] = left;
        _groups.Remove(right);
    }

    private sealed class Group(TensorStatistics statistics)
    {
        public TensorStatistics Statistics { get; } = statistics;

        /// <summary>The least bound of the activations absorbed into the group's values; null when none is.</summary>
        public double? UpperBound { get; set; }

        /// <summary>Whether the mean of one of the values is taken.</summary>
        public bool IsAveraged { get; set; }

        public AffineParameters? Parameters { get; set; }
    }
}
