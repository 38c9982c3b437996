using System.Globalization;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Clustering;
using ModelBuildTasks.Engine.Passes.Quantization;
using ModelBuildTasks.Engine.Passes.Quantization.Rounding;
using ModelBuildTasks.Engine.Passes.Quantization.Storage;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes;

/// <summary>
/// Weights of few distinct values: palettes of 2 to 8 bits, or evenly spaced values for a number of bits behind an entropy coder. They are stored as
/// codes with a table or scales, which the runtime computes once when it loads the model; arithmetic stays float.
/// </summary>
public static class Cluster
{
    /// <summary>Clusters the weights of a cleaned-up model.</summary>
    /// <param name="model">The model; it stays as it is.</param>
    /// <param name="plan">What is asked for.</param>
    /// <param name="context">Policy, rules and calibration data.</param>
    /// <exception cref="ModelBuildException">MBT2037: the runtime does not compute constant expressions when it loads a model.</exception>
    public static PassResult Run(OnnxModel model, ClusterPlan plan, PassContext context)
    {
        if (!context.Runtime.Formats.FoldsConstants)
            throw new ModelBuildException(DiagnosticCodes.NoFolding, $"the runtime policy '{context.Runtime.Name}' does not fold constants, so that palettes would be looked up at every inference", plan.Location);
        var eight = new QuantizePlan(plan.Location) { Activations = ActivationMode.None };
        var choices = new FormSelection(model, eight, context).Choose();
        var wanted = choices.Where(c => c.Form == QuantizedForm.Weights).ToList();
        var twins = TransposedTwins.Pairs(model, wanted);
        var listed = model.Graph.Input.Select(i => i.Name).Concat(model.Graph.Output.Select(o => o.Name)).ToHashSet();
        var uses = wanted.SelectMany(c => c.Weights.Select(w => (Choice: c, Weight: w))).GroupBy(u => Key(u.Weight)).Where(g => !listed.Contains(g.Key.Name)).ToList();
        var data = Observe(model, plan, context, wanted.SelectMany(c => c.Weights).Where(w => !twins.ContainsKey(w)));
        var apart = uses.Where(u => !u.Any(p => twins.ContainsKey(p.Weight) && !twins.Values.Any(t => Key(t) == u.Key))).ToList();
        List<ClusterWeight> weights = [.. apart.Select(u => ClusterWeight.Of(model, u.Select(p => p.Weight).FirstOrDefault(w => data?.Of(w).Count > 0) ?? u.First().Weight, data))];

        var clone = model.Clone();
        var rewrite = new RewriteContext(clone, eight, context.Runtime.Formats);
        var writer = new ClusterWriter(rewrite, context.Encoded);
        var stepped = plan.Entropy is { } entropy ? new StepBudget(model, context, entropy).Choose(weights) : null;
        var search = new PaletteSearch(plan.Bits, plan.Channels, plan.Method != ClusterMethod.KMeans, context.Threads);
        var done = new Dictionary<(int, string), (string What, double Sqnr, long Bytes)>();
        for (var i = 0; i < weights.Count; i++)
        {
            var weight = weights[i];
            var (graph, tensor) = Find(clone, weight.Weight);
            var palette = stepped is null ? search.Find(weight) : null;
            var decoded = palette?.Decode(weight.Channel) ?? stepped![i].Decode(tensor.Dims);
            var bytes = palette is null ? writer.Write(graph, tensor, stepped![i])
                : writer.Write(graph, tensor, new PaletteCodes(palette.Codes, palette.Tables, palette.Tables.Length == 1 ? 1 : weight.Weight.Outer));
            var what = palette is not null ? $"{plan.Bits}-bit palette" : string.Create(CultureInfo.InvariantCulture, $"{SteppedWeight.Entropy(stepped![i].Codes):0.00} bits");
            done[Key(weight.Weight)] = (what, weight.Sqnr(decoded), bytes);
            if (weight.Centered)
                CorrectBiases(clone, rewrite, apart[i].Select(p => p.Weight), weight, data!, decoded);
            context.Progress?.Invoke((i + 1.0) / weights.Count);
        }

        foreach (var (weight, table) in twins.Where(t => !done.ContainsKey(Key(t.Key)) && done.ContainsKey(Key(t.Value))))
        {
            var (graph, tensor) = Find(clone, weight);
            writer.Transpose(graph, tensor, table.Node.Input[table.Input]);
            done[Key(weight)] = done[Key(table)] with { Bytes = 0 };
        }

        writer.Finish();
        UnusedInitializers.Remove(clone.Graph);
        ExactPalettes.Apply(rewrite);
        return new(clone, [.. choices.Select(c => Decision(c, done))], Summary(plan, done.Count, weights, stepped));
    }

    private static (int Home, string Name) Key(NodeWeight weight) => (weight.Home, weight.Node.Input[weight.Input]);

    private static (GraphProto Graph, TensorProto Tensor) Find(OnnxModel clone, NodeWeight weight)
    {
        var graph = clone.Graph.WithBodies().ElementAt(weight.Home);
        return (graph, graph.Initializer.First(t => t.Name == weight.Node.Input[weight.Input]));
    }

    private static RoundingData? Observe(OnnxModel model, ClusterPlan plan, PassContext context, IEnumerable<NodeWeight> weights)
    {
        if (context.Calibration is not { } calibration)
            return null;
        var data = new RoundingData(model.Graph, weights);
        context.Statistics.Collect(model, [], calibration, context.Threads, context.Progress, null, data.Matrices);
        return data;
    }

    private static void CorrectBiases(OnnxModel clone, RewriteContext rewrite, IEnumerable<NodeWeight> uses, ClusterWeight weight, RoundingData data, float[] decoded)
    {
        foreach (var use in uses)
        {
            if (use.Bias is not { } bias || weight.MeanError(data, decoded, use) is not { } shift || shift.Length != ElementTypes.Count(bias.Dims))
                continue;
            var graph = clone.Graph.WithBodies().ElementAt(use.Graph);
            var node = graph.Node.First(n => n.Output.Count > 0 && n.Output[0] == use.Node.Output[0]);
            float[] corrected = [.. clone.ReadFloats(bias).Zip(shift, (b, s) => (float)(b + s))];
            node.Input[2] = rewrite.Add<float>(graph, "b", DataType.Float, bias.Dims, corrected);
        }
    }

    private static Decision Decision(FormChoice choice, Dictionary<(int, string), (string What, double Sqnr, long Bytes)> done)
    {
        var before = choice.Weights.Sum(w => w.Bytes);
        var mine = choice.Weights.Where(w => done.ContainsKey(Key(w))).Select(w => done[Key(w)]).ToList();
        if (choice.Form != QuantizedForm.Weights || mine.Count == 0)
            return new(choice.Node.DisplayName(), choice.Node.OpType, "left", choice.Form == QuantizedForm.Weights ? "its weight is an input or output of the model" : choice.Reason) { BytesBefore = before, BytesAfter = before };
        return new(choice.Node.DisplayName(), choice.Node.OpType, string.Join(", ", mine.Select(m => m.What).Distinct()), "few distinct values, looked up when the model is loaded: in memory it is float")
        {
            Sqnr = mine.Min(m => m.Sqnr),
            BytesBefore = before,
            BytesAfter = mine.Sum(m => m.Bytes) + choice.Weights.Where(w => !done.ContainsKey(Key(w))).Sum(w => w.Bytes),
        };
    }

    private static string Summary(ClusterPlan plan, int count, List<ClusterWeight> weights, IReadOnlyList<SteppedWeight>? stepped)
    {
        if (count == 0)
            return "no weight to cluster";
        var noun = $"{count} weight{(count == 1 ? "" : "s")}";
        if (stepped is null)
            return $"{noun} in {plan.Bits}-bit palettes";
        var bits = stepped.Sum(s => SteppedWeight.Entropy(s.Codes) * s.Codes.Length) / weights.Sum(w => (double)w.Values.Length);
        return string.Create(CultureInfo.InvariantCulture, $"{noun} in {bits:0.00} bits a weight behind an entropy coder");
    }
}
