using System.Globalization;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Pruning.Structured.Selection;
using ModelBuildTasks.Engine.Passes.Quantization;
using ModelBuildTasks.Engine.Passes.Quantization.Search;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured;

/// <summary>
/// Removes channels, attention heads, hidden units: what depends on each other goes together, what is left makes up for it by least squares,
/// and tensors become smaller. Needs no training.
/// </summary>
internal static class StructuredPruning
{
    /// <summary>Prunes a copy of the model.</summary>
    /// <param name="model">The model, cleaned up; it stays as it is.</param>
    /// <param name="plan">What is asked for.</param>
    /// <param name="context">Policy, rules and data.</param>
    /// <exception cref="ModelBuildException">MBT2060: the amount cannot be reached. MBT2061: nothing can be removed.</exception>
    public static PassResult Run(OnnxModel model, PrunePlan plan, PassContext context)
    {
        if (plan.Structure == PruneStructure.Layers)
            return LayerPruning.Run(model, plan, context);
        var shapes = ModelCost.Shapes(model, context);
        // The analysis has to know which dimensions are free; counting has to know how long they are.
        var types = ValueTypes.Infer(model);
        var analysis = ChannelAnalysis.Of(model, types, shapes);
        var candidates = Candidates(model, analysis, plan, context, out var left);
        if (candidates.Count == 0)
            throw new ModelBuildException(DiagnosticCodes.NothingToPrune, $"'{Word(plan)}' finds nothing in this model that can be removed: {(left.FirstOrDefault(d => d.Reason.StartsWith("a rule", StringComparison.Ordinal)) is { } rule ? rule.Reason : Barriers(analysis))}", plan.Location);

        var method = plan.Method != PruneMethod.Auto ? plan.Method : context.Calibration is null ? PruneMethod.Magnitude : PruneMethod.Obs;
        var repair = plan.Repair != PruneRepair.Auto ? plan.Repair : context.Calibration is null ? PruneRepair.None : PruneRepair.Refit;
        var readers = new Readers(model, candidates, method == PruneMethod.Magnitude && repair == PruneRepair.None ? context with { Calibration = null } : context);
        var pruned = new PrunedModel(model, analysis, readers, types, repair);
        IReadOnlyList<GroupChoice> choices =
        [
            .. candidates.Select(g =>
            {
                var counts = GroupChoice.Allowed(g.Units, g.Multiple, plan.Multiple ?? Likes(g, context.Runtime), plan.Limit);
                return new GroupChoice(g, UnitScores.Of(model, g, readers, method, counts[^1]), counts);
            }).Where(c => c.Counts.Length > 1),
        ];
        var macs = Math.Max(1.0, model.Graph.Node.Sum(n => NodeWork.Macs(n, shapes)));
        if (plan.Allocation is PruneAllocation.Auto or PruneAllocation.Loss && context.Calibration is { } data)
        {
            // Fitted on one half of the data and judged by the other: a fit flatters what it was made from.
            var judge = data.Feedback.Count == 0 && data.Count > 1 ? new HalfData(data, 1) : data;
            var probe = LossProbe.Open(model, judge, macs, 3 * choices.Count);
            if (probe.Power > 0)
                choices = LossProbe.Measure(choices, new PrunedModel(model, analysis, readers.Half(), types, repair), probe, context.Threads, context.Progress);
        }

        var before = ModelCost.Of(model, context.Runtime, shapes);
        var target = new Target(plan, before, choices);
        var removed = Choose(plan, choices, target, before, pruned, context, analysis);
        var repaired = pruned.Repaired(removed);
        if (repair == PruneRepair.Refit && context.Calibration is not null)
            repaired = Refitted(model, repaired, Refit.Going(analysis.Groups, readers, removed), context, macs);
        var result = pruned.CutOut(repaired, removed);
        var after = ModelCost.Of(result, context.Runtime, ModelCost.Shapes(result, context));
        return new(result, [.. Decisions(model, choices, removed, repair), .. left], Words.Summary(before, after, $"{removed.Values.Sum(u => u.Count)} of {choices.Sum(c => c.Group.Units)} units in {removed.Count} of {choices.Count} groups are gone"));
    }

    /// <summary>The model fitted layer by layer to what its layers really read, where that is better on samples.</summary>
    private static OnnxModel Refitted(OnnxModel model, OnnxModel repaired, IEnumerable<(Reader, int[])> going, PassContext context, double macs)
    {
        var again = repaired.Clone();
        SequentialRefit.Apply(model, again, going, context, macs);
        var probe = LossProbe.Open(model, context.Calibration!, macs, 4);
        return probe.Power > 0 && probe.Noise(again) < probe.Noise(repaired) ? again : repaired;
    }

    /// <summary>The groups that may be pruned, and decisions about those that may not.</summary>
    private static List<ChannelGroup> Candidates(OnnxModel model, ChannelAnalysis analysis, PrunePlan plan, PassContext context, out List<Decision> left)
    {
        left = [];
        var rules = new RuleSet(model, context.Rules);
        var result = new List<ChannelGroup>();
        // Whatever has a weight that would shrink, a norm or a depthwise convolution too.
        var readers = GraphEdit.Indexes(model).SelectMany(i => i.Graph.Node.SelectMany(n => n.Input.Where(name => name.Length > 0).Select(name => (Key: (i.Home(name), name), Node: n)))).ToLookup(p => p.Key, p => p.Node);
        foreach (var group in analysis.Groups.Where(g => g.Units >= 2 && (plan.Structure != PruneStructure.Heads || g.Kind == "heads")))
        {
            var fixedBy = group.Slices.SelectMany(s => readers[(s.Graph, s.Tensor)]).FirstOrDefault(n => !rules.MayPrune(n));
            if (fixedBy is null)
                result.Add(group);
            else
                left.Add(new(group.Name, fixedBy.OpType, "left", $"a rule keeps '{fixedBy.DisplayName()}' from being pruned, and its {group.Kind} go together"));
        }

        foreach (var barrier in analysis.Barriers)
            left.Add(new(barrier.Node, barrier.Op, "left", $"{barrier.Reason}, which keeps {barrier.Parameters:N0} parameters"));
        return result;
    }

    private static Dictionary<int, IReadOnlyList<int>> Choose(
        PrunePlan plan, IReadOnlyList<GroupChoice> choices, Target target, ModelCost before, PrunedModel pruned, PassContext context, ChannelAnalysis analysis)
    {
        var steps = plan.Allocation switch
        {
            PruneAllocation.Uniform => Allocation.Uniform(choices),
            PruneAllocation.Global => Allocation.Global(choices),
            PruneAllocation.Auto when choices.All(c => c.Factors.Count == 0) => Allocation.Uniform(choices),
            _ => Allocation.ByLoss(choices, target.Saving),
        };
        var tried = new Dictionary<string, double>();
        var count = Allocation.Least(steps.Count, n => Reached(Allocation.After(choices, steps, n)) >= target.Asked);
        if (count is null)
        {
            throw new ModelBuildException(DiagnosticCodes.PruneTarget, $"'{Word(plan)}' can remove {target.Describe(Reached(Allocation.After(choices, steps, steps.Count)))} of this model at most, and {target.Describe(target.Asked)} is asked for: {Barriers(analysis)}; "
                + "a higher 'limit' or a smaller 'multiple' allows more", plan.Location);
        }

        var units = Units(Allocation.Trim(choices, steps, count.Value, counts => Reached(counts) >= target.Asked));
        return ChannelSurgery.Vanishing(analysis, units) is { } why ? throw new ModelBuildException(DiagnosticCodes.PruneTarget, $"'{Word(plan)}' would leave nothing of a part: {why}; a smaller 'limit' keeps more of each", plan.Location) : units;

        double Reached(int[] counts)
        {
            var key = string.Join(' ', counts);
            return tried.TryGetValue(key, out var known) ? known : tried[key] = target.Of(counts, () =>
            {
                var units = Units(counts);
                // What cannot be cut is not counted as saved.
                if (ChannelSurgery.Vanishing(analysis, units) is not null)
                    return before;
                var cut = pruned.CutOnly(units);
                return ModelCost.Of(cut, context.Runtime, ModelCost.Shapes(cut, context));
            });
        }

        Dictionary<int, IReadOnlyList<int>> Units(int[] counts) =>
            choices.Select((c, i) => (c, counts[i])).Where(p => p.Item2 > 0).ToDictionary(p => p.c.Group.Id, p => p.c.First(p.Item2));
    }

    // Kernels work on blocks of channels; a narrow layer is not made coarser than a quarter of it.
    private static int Likes(ChannelGroup group, RuntimePolicy runtime)
    {
        if (group.Kind == "heads")
            return 1;
        var block = Math.Clamp((int)runtime.Costs.Block, 1, 64);
        for (; block > 1 && group.Units / block < 4; block /= 2)
        {
        }

        return block;
    }

    private static IEnumerable<Decision> Decisions(
        OnnxModel model, IReadOnlyList<GroupChoice> choices, Dictionary<int, IReadOnlyList<int>> removed, PruneRepair repair)
    {
        var before = new NodeMap(model);
        var made = repair switch
        {
            PruneRepair.Refit => "what reads them was fitted again",
            PruneRepair.Bias => "biases took what they add on average",
            _ => "nothing made up for them",
        };
        foreach (var choice in choices)
        {
            var group = choice.Group;
            var count = removed.TryGetValue(group.Id, out var units) ? units.Count : 0;
            var op = group.Producers.Count > 0 ? before.Node(group.Producers[0].Node).OpType : "";
            var loss = choice.Factors.Count == 0 ? "" : string.Create(CultureInfo.InvariantCulture, $"; by itself this is {-10 * Math.Log10(Math.Max(1e-20, choice.Loss(count))):0.0} dB at the outputs");
            var bytes = group.Parameters.Sum() * sizeof(float);
            yield return count == 0
                ? new(group.Name, op, "left", $"its {group.Units} {group.Kind} are worth more than others") { BytesBefore = bytes, BytesAfter = bytes }
                : new(group.Name, op, $"pruned {group.Units} -> {group.Units - count}", $"{count} of its {group.Units} {group.Kind} are gone, and {made}{loss}")
                {
                    BytesBefore = bytes,
                    BytesAfter = bytes - units!.Sum(u => group.Parameters[u]) * sizeof(float),
                    OutputNoise = choice.Factors.Count == 0 ? null : choice.Loss(count),
                };
        }
    }

    private static string Barriers(ChannelAnalysis analysis)
    {
        var first = analysis.Barriers.OrderByDescending(b => b.Parameters).Take(2).Select(b => $"{b.Op} '{b.Node}' ({b.Reason})").ToList();
        return first.Count == 0 ? "no more units can go" : "held back by " + string.Join(" and ", first);
    }

    private static string Word(PrunePlan plan) => $"structure: {plan.Structure.ToString().ToLowerInvariant()}";
}
