using System.Collections.Concurrent;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Statistics;

namespace ModelBuildTasks.Engine.Passes.Quantization;

/// <summary>
/// What the calibration data says of the values that get a scale. Statistics are collected once for all values that any choice
/// of forms may need.
/// </summary>
/// <param name="model">The float model.</param>
/// <param name="plan">What is asked for.</param>
/// <param name="context">Policy and data.</param>
internal sealed class Calibration(OnnxModel model, QuantizePlan plan, PassContext context)
{
    private IReadOnlyCollection<GramMatrix> _grams = [];
    private IReadOnlyDictionary<string, int> _channels = new Dictionary<string, int>();

    private readonly Dictionary<string, TensorStatistics> _statistics = [];
    private readonly ConcurrentDictionary<string, AffineParameters> _parameters = [];
    private readonly RuleSet _rules = new(model, context.Rules);

    /// <summary>What was seen so far of the values asked for.</summary>
    public IReadOnlyDictionary<string, TensorStatistics> Statistics => _statistics;

    /// <summary>The 8-bit part of the graph around the statically quantized nodes, with the scales of its values.</summary>
    /// <param name="on">The model, or a clone of it.</param>
    /// <param name="index">The index of its main graph.</param>
    /// <param name="choices">Its nodes' forms.</param>
    /// <returns>Null when no node is static.</returns>
    public StaticPart? Part(OnnxModel on, GraphIndex index, IReadOnlyList<FormChoice> choices)
    {
        var weighted = choices.Where(c => c.Form == QuantizedForm.Static).Select(c => c.Node).ToList();
        if (weighted.Count == 0)
            return null;
        var part = new StaticGraph(on, index, context.Runtime, weighted);
        var values = Values(part, index);
        Collect(part, values.Except(_statistics.Keys));
        return new(part, new ScaleGroups(part, index, values.ToDictionary(v => v, v => _statistics[v]), plan, _parameters, _rules), values, _statistics);
    }

    /// <summary>Settles the scale of a group of values.</summary>
    public void Fix(string group, AffineParameters parameters) => _parameters[group] = parameters;

    /// <summary>The choices without the static nodes that touch a value which cannot have a scale.</summary>
    /// <param name="index">The index of the main graph.</param>
    /// <param name="choices">The nodes' forms.</param>
    /// <param name="grams">Gram matrices to fill in the same pass over the data.</param>
    /// <param name="channels">Further values to observe in the same pass, with the axis of the channels whose statistics are wanted, see Repairs.Needs.</param>
    public IReadOnlyList<FormChoice> Observe(
        GraphIndex index, IReadOnlyList<FormChoice> choices, IReadOnlyCollection<GramMatrix> grams, IReadOnlyDictionary<string, int>? channels = null)
    {
        _grams = grams;
        _channels = channels ?? _channels;
        while (choices.Where(c => c.Form == QuantizedForm.Static).Select(c => c.Node).ToList() is { Count: > 0 } weighted)
        {
            var part = new StaticGraph(model, index, context.Runtime, weighted);
            var values = Values(part, index);
            Collect(part, values.Concat(Alternatives(part)).Concat(_channels.Keys).Except(_statistics.Keys));

            // A value that is never float, never there, or not finite cannot get a scale: what touches it stays in float.
            var bad = values.Where(v => _statistics[v] is var s && (s.HasNonFinite || s.Min > s.Max))
                .ToDictionary(v => v, v => $"the calibration data gives no finite range for '{v}'");
            foreach (var value in part.MovedIntoBodies().Where(values.Contains))
                bad.TryAdd(value, $"'{value}' is moved into the body of a control-flow operator, where ONNX Runtime cannot follow 8-bit values");
            if (bad.Count == 0)
                break;
            var touching = Touching(part, index, bad.Keys);
            choices = [.. choices.Select(c => touching.TryGetValue(c.Node, out var value) ? c.Without(QuantizedForm.Static, bad[value]) : c)];
        }

        // Where no node is static, nothing was collected yet.
        var rest = _channels.Keys.Except(_statistics.Keys).ToList();
        if (_grams.Count + rest.Count > 0)
            Collect(rest, _channels);
        return choices;
    }

    private void Collect(StaticGraph part, IEnumerable<string> names)
    {
        var unseen = names.Distinct().ToList();
        if (unseen.Count > 0)
            Collect(unseen, ChannelAxes(part));
    }

    private void Collect(IReadOnlyCollection<string> unseen, IReadOnlyDictionary<string, int>? channelAxes)
    {
        foreach (var (name, seen) in context.Statistics.Collect(model, unseen, context.Calibration!, context.Threads, context.Progress, channelAxes, _grams))
            _statistics[name] = seen;
        _grams = [];
        foreach (var name in unseen)
            _statistics.TryAdd(name, new());
    }

    /// <summary>The inputs of weighted nodes, whose channel means bias correction needs, and what else is asked for, with the axis of their channels.</summary>
    private Dictionary<string, int> ChannelAxes(StaticGraph part) => part.Nodes.Where(part.Weighted.Contains)
        .Select(n => (Name: n.Input[0], Axis: n.OpType == "Conv" ? 1 : -1))
        .Concat(_channels.Select(c => (Name: c.Key, Axis: c.Value)))
        .DistinctBy(p => p.Name)
        .ToDictionary(p => p.Name, p => p.Axis);

    /// <summary>The values that get a scale.</summary>
    private static List<string> Values(StaticGraph part, GraphIndex index)
    {
        var values = new List<string>();
        foreach (var node in part.Nodes)
        {
            values.AddRange(StaticGraph.DataInputs(node, index).Select(i => node.Input[i]).Where(name => index.Constant(name) is null));
            values.AddRange(part.UsedOutputs(node).Select(i => part.FinalOutput(node, i)));
        }

        return [.. values.Distinct()];
    }

    /// <summary>The values that get a scale when other nodes are left out: an activation that leads nowhere is not absorbed.</summary>
    private static IEnumerable<string> Alternatives(StaticGraph part) =>
        part.Nodes.Where(n => n.OpType != "Conv" && part.Absorbed(n) is not null).SelectMany(n => part.UsedOutputs(n).Select(i => n.Output[i]));

    /// <summary>The weighted nodes that reach a bad value through nodes that only carry it.</summary>
    public static Dictionary<NodeProto, string> Touching(StaticGraph part, GraphIndex index, IEnumerable<string> bad)
    {
        var spread = bad.ToDictionary(b => b, b => b);
        var result = new Dictionary<NodeProto, string>(ReferenceEqualityComparer.Instance);
        for (var before = -1; before != spread.Count + result.Count;)
        {
            before = spread.Count + result.Count;
            foreach (var node in part.Nodes)
            {
                var values = StaticGraph.DataInputs(node, index).Select(i => node.Input[i]).Where(n => index.Constant(n) is null)
                    .Concat(part.UsedOutputs(node).Select(i => part.FinalOutput(node, i))).ToList();
                if (values.Find(spread.ContainsKey) is not { } cause)
                    continue;
                if (part.Weighted.Contains(node))
                    result.TryAdd(node, spread[cause]);
                else
                    values.ForEach(v => spread.TryAdd(v, spread[cause]));
            }
        }

        return result;
    }
}

/// <summary>The 8-bit part of a graph with its scales.</summary>
/// <param name="Graph">The nodes.</param>
/// <param name="Groups">The scales.</param>
/// <param name="Values">The values that get a scale.</param>
/// <param name="Statistics">What was seen of them.</param>
internal sealed record StaticPart(StaticGraph Graph, ScaleGroups Groups, IReadOnlyList<string> Values, IReadOnlyDictionary<string, TensorStatistics> Statistics);
