using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Statistics;

namespace ModelBuildTasks.Engine.Passes.Quantization.Equalization;

/// <summary>All repairs of a float model, each for a search to try and to keep where the measured error falls.</summary>
internal static class Repairs
{
    /// <summary>The values of the main graph whose channel statistics the repairs of a plan need, with the axis of their channels.</summary>
    public static IReadOnlyDictionary<string, int> Needs(OnnxModel model, QuantizePlan plan)
    {
        var index = new GraphIndex(model, model.Graph);
        var needs = new Dictionary<string, int>();
        if (plan.Equalization)
        {
            foreach (var (source, path) in CrossLayerEqualization.Pairs(index))
                needs.TryAdd(source.Value, path.Values[source.Value]);
        }

        if (plan.SmoothQuant)
        {
            foreach (var (_, path) in SmoothQuant.Places(index))
            {
                foreach (var reader in path.Readers)
                    needs.TryAdd(reader.Value, path.Values[reader.Value]);
            }
        }

        return needs;
    }

    /// <summary>The state to begin with.</summary>
    /// <param name="model">The float model.</param>
    /// <param name="statistics">What was observed, at least of what <see cref="Needs"/> names, with channels.</param>
    public static RepairState Begin(OnnxModel model, IReadOnlyDictionary<string, TensorStatistics> statistics)
    {
        var channels = new Dictionary<string, ChannelSummary>();
        foreach (var (name, seen) in statistics)
        {
            if (ChannelSummary.Of(seen) is { } summary)
                channels[name] = summary;
        }

        return new(model, channels);
    }

    /// <summary>The state to begin with, observed on the calibration data where that is given and needed.</summary>
    /// <exception cref="Diagnostics.ModelBuildException">MBT2004: the model does not run on the calibration data.</exception>
    public static RepairState Begin(OnnxModel model, QuantizePlan plan, PassContext context)
    {
        var needs = Needs(model, plan);
        return Begin(model, needs.Count == 0 || context.Calibration is null ? new Dictionary<string, TensorStatistics>()
            : context.Statistics.Collect(model, [.. needs.Keys], context.Calibration, context.Threads, context.Progress, needs));
    }

    /// <summary>
    /// The repairs that a plan allows, in the order in which to try them: equalization of each set of layers that touch (with high biases
    /// absorbed, and without), then smoothing place by place.
    /// </summary>
    public static IReadOnlyList<Repair> Enumerate(RepairState state, QuantizePlan plan)
    {
        var index = new GraphIndex(state.Model, state.Model.Graph);
        var repairs = new List<Repair>();
        if (plan.Equalization)
        {
            foreach (var chain in Chains(CrossLayerEqualization.Pairs(index)))
            {
                var sources = chain.Select(p => p.Source.Value).ToHashSet();
                var nodes = Names(chain);
                var about = $"{chain[0].Source.Node.DisplayName()} and {nodes.Count - 1} more";
                repairs.Add(new(CrossLayerEqualization.Kind, $"cross-layer equalization of {about}", nodes, s => CrossLayerEqualization.Apply(s, sources)));
                repairs.Add(new(CrossLayerEqualization.Kind, $"high-bias absorption in {about}", nodes, s => HighBiasAbsorption.Apply(s, sources)));
            }
        }

        if (plan.SmoothQuant)
        {
            foreach (var place in SmoothQuant.Places(index))
                repairs.Add(new(SmoothQuant.Kind, $"SmoothQuant behind {place.Source.Node.DisplayName()}", Names([place]), s => SmoothQuant.Apply(s, place.Source.Value, plan.PerChannel)));
        }

        return repairs;
    }

    private static List<string> Names(IEnumerable<(ChannelSource Source, ChannelPath Path)> pairs) =>
        [.. pairs.SelectMany(p => p.Path.Readers.Select(r => r.Node).Prepend(p.Source.Node)).Select(n => n.DisplayName()).Distinct()];

    /// <summary>Pairs that share a layer, together.</summary>
    private static List<List<(ChannelSource Source, ChannelPath Path)>> Chains(IEnumerable<(ChannelSource Source, ChannelPath Path)> pairs)
    {
        var chains = new List<(HashSet<NodeProto> Nodes, List<(ChannelSource, ChannelPath)> Pairs)>();
        foreach (var pair in pairs)
        {
            var nodes = GraphEdit.Set<NodeProto>();
            nodes.Add(pair.Source.Node);
            nodes.UnionWith(pair.Path.Readers.Select(r => r.Node));
            var touching = chains.Where(c => c.Nodes.Overlaps(nodes)).ToList();
            if (touching.Count == 0)
            {
                chains.Add((nodes, [pair]));
                continue;
            }

            var into = touching[0];
            into.Nodes.UnionWith(nodes);
            foreach (var other in touching.Skip(1))
            {
                into.Nodes.UnionWith(other.Nodes);
                into.Pairs.AddRange(other.Pairs);
                chains.Remove(other);
            }

            into.Pairs.Add(pair);
        }

        return [.. chains.Select(c => c.Pairs)];
    }
}
