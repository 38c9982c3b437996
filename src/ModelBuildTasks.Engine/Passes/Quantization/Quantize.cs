using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Quantization;
using ModelBuildTasks.Engine.Statistics;

namespace ModelBuildTasks.Engine.Passes;

/// <summary>
/// 8-bit quantization after training: static (QDQ), dynamic, and weights only, decided for each node by the runtime policy.
/// Activations are unsigned with a zero point, weights signed and symmetric with a scale a channel, biases int32.
/// </summary>
public static class Quantize
{
    /// <summary>Quantizes a model that was cleaned up (batch norms folded, constants folded).</summary>
    /// <param name="model">The float model; unchanged.</param>
    /// <param name="plan">What is asked for.</param>
    /// <param name="context">Policy, rules and calibration data.</param>
    /// <exception cref="Diagnostics.ModelBuildException">MBT2004: the model does not run on the calibration data.</exception>
    public static PassResult Run(OnnxModel model, QuantizePlan plan, PassContext context)
    {
        var clone = model.Clone();
        var choices = new FormSelection(clone, plan, context).Choose();
        var index = new GraphIndex(clone, clone.Graph);
        var (part, statistics, refused) = Calibrate(clone, index, choices, context);
        choices = [.. choices.Select(c => refused.TryGetValue(c.Node, out var why) ? c with { Form = null, Reason = why } : c)];

        var rewrite = new RewriteContext(clone, plan);
        if (part is not null)
            new StaticRewrite(rewrite, part, new ScaleGroups(part, index, statistics), statistics).Apply(index, Of(choices, QuantizedForm.Static));
        new DynamicRewrite(rewrite).Apply(Of(choices, QuantizedForm.Dynamic));
        new WeightsRewrite(rewrite).Apply([.. choices.Where(c => c.Form == QuantizedForm.Weights)]);
        foreach (var choice in choices.Where(c => c.Form is null))
            rewrite.Decide(choice, "left");
        UnusedInitializers.Remove(clone.Graph);
        return new PassResult(clone, InGraphOrder(rewrite.Decisions, choices), Summary(choices));
    }

    private static (StaticGraph? Part, IReadOnlyDictionary<string, TensorStatistics> Statistics, Dictionary<NodeProto, string> Refused) Calibrate(
        OnnxModel model, GraphIndex index, IReadOnlyList<FormChoice> choices, PassContext context)
    {
        var refused = new Dictionary<NodeProto, string>(ReferenceEqualityComparer.Instance);
        var statistics = new Dictionary<string, TensorStatistics>();
        var weighted = choices.Where(c => c.Form == QuantizedForm.Static).Select(c => c.Node).ToList();
        while (weighted.Count > 0)
        {
            var part = new StaticGraph(model, index, context.Runtime, weighted);
            var values = Values(part, index);
            var unseen = values.Except(statistics.Keys).ToList();
            if (unseen.Count > 0)
            {
                foreach (var (name, seen) in StatisticsCollector.Collect(model, unseen, context.Calibration!, context.Threads, context.Progress, ChannelAxes(part)))
                    statistics[name] = seen;
            }

            // A value that is never float, never there, or not finite cannot get a scale: what touches it stays in float.
            var bad = values.Where(v => !statistics.TryGetValue(v, out var s) || s.HasNonFinite || s.Min > s.Max)
                .ToDictionary(v => v, v => $"the calibration data gives no finite range for '{v}'");
            foreach (var value in part.MovedIntoBodies().Where(values.Contains))
                bad.TryAdd(value, $"'{value}' is moved into the body of a control-flow operator, where ONNX Runtime cannot follow 8-bit values");
            if (bad.Count == 0)
                return (part, values.ToDictionary(v => v, v => statistics[v]), refused);
            var touching = Touching(part, index, bad.Keys);
            weighted = [.. weighted.Where(n => !touching.ContainsKey(n))];
            foreach (var (node, value) in touching)
                refused[node] = bad[value];
        }

        return (null, statistics, refused);
    }

    /// <summary>The inputs of weighted nodes, whose channel means bias correction needs, with the axis of their channels.</summary>
    private static Dictionary<string, int> ChannelAxes(StaticGraph part) => part.Nodes.Where(part.Weighted.Contains)
        .Select(n => (Name: n.Input[0], Axis: n.OpType == "Conv" ? 1 : -1))
        .DistinctBy(p => p.Name)
        .ToDictionary(p => p.Name, p => p.Axis);

    /// <summary>The values that get a scale.</summary>
    private static List<string> Values(StaticGraph part, GraphIndex index)
    {
        var values = new List<string>();
        foreach (var node in part.Nodes)
        {
            values.AddRange(StaticGraph.DataInputs(node).Select(i => node.Input[i]).Where(name => index.Constant(name) is null));
            values.AddRange(part.UsedOutputs(node).Select(i => part.FinalOutput(node, i)));
        }

        return [.. values.Distinct()];
    }

    /// <summary>The weighted nodes that reach a bad value through nodes that only carry it.</summary>
    private static Dictionary<NodeProto, string> Touching(StaticGraph part, GraphIndex index, IEnumerable<string> bad)
    {
        var spread = bad.ToDictionary(b => b, b => b);
        var result = new Dictionary<NodeProto, string>(ReferenceEqualityComparer.Instance);
        for (var before = -1; before != spread.Count + result.Count;)
        {
            before = spread.Count + result.Count;
            foreach (var node in part.Nodes)
            {
                var values = StaticGraph.DataInputs(node).Select(i => node.Input[i]).Where(n => index.Constant(n) is null)
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

    private static Dictionary<NodeProto, FormChoice> Of(IEnumerable<FormChoice> choices, QuantizedForm form) =>
        choices.Where(c => c.Form == form).ToDictionary<FormChoice, NodeProto>(c => c.Node, ReferenceEqualityComparer.Instance);

    private static List<Decision> InGraphOrder(List<Decision> decisions, IReadOnlyList<FormChoice> choices)
    {
        var order = new Dictionary<string, int>();
        foreach (var choice in choices)
            order.TryAdd(choice.Node.DisplayName(), order.Count);
        return [.. decisions.OrderBy(d => order.GetValueOrDefault(d.Name, int.MaxValue))];
    }

    private static string Summary(IReadOnlyList<FormChoice> choices)
    {
        var parts = new[] { (QuantizedForm?)QuantizedForm.Static, QuantizedForm.Dynamic, QuantizedForm.Weights, null }
            .Select(form => (form, count: choices.Count(c => c.Form == form)))
            .Where(p => p.count > 0)
            .Select(p => p.form is null ? $"{p.count} left in float" : $"{p.count} {p.form.Value.ToString().ToLowerInvariant()}");
        return choices.Count == 0 ? "no weighted operators" : $"{choices.Count} weighted operators: {string.Join(", ", parts)}";
    }
}
