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
/// Removes whole residual blocks: what lies between a value and the Add that joins it again. One block after the other, the one whose removal
/// costs the outputs least for what it saves; with calibration data that is measured each time, else it is the norm of the block's weights.
/// </summary>
internal static class LayerPruning
{
    /// <summary>Prunes a copy of the model.</summary>
    /// <param name="model">The model, cleaned up; it stays as it is.</param>
    /// <param name="plan">What is asked for.</param>
    /// <param name="context">Policy, rules and data.</param>
    /// <exception cref="ModelBuildException">MBT2060: the amount cannot be reached. MBT2061: the model has no residual block.</exception>
    public static PassResult Run(OnnxModel model, PrunePlan plan, PassContext context)
    {
        var shapes = ModelCost.Shapes(model, context);
        var before = ModelCost.Of(model, context.Runtime, shapes);
        var (now, cost) = (model, before);
        var first = Branches(model, ChannelAnalysis.Of(model, ValueTypes.Infer(model)), context);
        if (first.Count == 0)
            throw new ModelBuildException(DiagnosticCodes.NothingToPrune, "'structure: layers' finds no residual block in this model that it may remove", plan.Location);
        var asked = Target.AskedOf(plan, before);
        var probe = context.Calibration is { } data && plan.Method != PruneMethod.Magnitude
            ? LossProbe.Open(model, data, Math.Max(1, before.Macs), first.Count * (1 + first.Count)) : null;
        var decisions = new List<Decision>();
        while (Reached() < asked)
        {
            var analysis = ChannelAnalysis.Of(now, ValueTypes.Infer(now));
            var trials = Branches(now, analysis, context).Select(branch =>
            {
                var trial = now.Clone();
                ChannelSurgery.RemoveBranches(trial, analysis, [branch.Id]);
                var loss = probe is { Power: > 0 } ? probe.Noise(trial) / probe.Power : Norm(now, branch);
                return (Branch: branch, Model: trial, Loss: loss, Price: loss / Math.Max(1, Saving(branch)));
            }).OrderBy(t => t.Price).ToList();
            if (trials.Count == 0)
            {
                throw new ModelBuildException(DiagnosticCodes.PruneTarget, string.Create(CultureInfo.InvariantCulture,
                    $"'structure: layers' can remove {100 * Reached():0.0} % of this model at most, all its residual blocks, and {100 * asked:0.0} % is asked for"), plan.Location);
            }

            var best = trials[0];
            var measured = probe is { Power: > 0 } ? string.Create(CultureInfo.InvariantCulture, $", {-10 * Math.Log10(Math.Max(1e-20, best.Loss)):0.0} dB at the outputs with all that went so far") : "";
            decisions.Add(new(best.Branch.Name, "Add", "removed", $"a residual block of {best.Branch.Nodes.Count} nodes is gone{measured}") { BytesBefore = best.Branch.Parameters * sizeof(float) });
            now = best.Model;
            cost = ModelCost.Of(now, context.Runtime, ModelCost.Shapes(now, context));
            context.Progress?.Invoke(Math.Min(1, Reached() / asked));
        }

        foreach (var branch in Branches(now, ChannelAnalysis.Of(now, ValueTypes.Infer(now)), context))
            decisions.Add(new(branch.Name, "Add", "left", "the block is worth more than others") { BytesBefore = branch.Parameters * sizeof(float), BytesAfter = branch.Parameters * sizeof(float) });
        return new(ReferenceEquals(now, model) ? model.Clone() : now, decisions, Words.Summary(before, cost, $"{decisions.Count(d => d.What == "removed")} of {first.Count} residual blocks are gone"));

        double Reached() => plan.Measure == PruneMeasure.Amount
            ? (double)decisions.Count(d => d.What == "removed") / first.Count : Target.Gone(plan.Measure, before, cost);

        double Saving(ResidualBranch branch) => plan.Measure switch
        {
            PruneMeasure.Amount => 1,
            PruneMeasure.Macs or PruneMeasure.Latency => branch.Macs,
            _ => branch.Parameters,
        };
    }

    private static List<ResidualBranch> Branches(OnnxModel model, ChannelAnalysis analysis, PassContext context)
    {
        var (rules, map) = (new RuleSet(model, context.Rules), new NodeMap(model));
        return [.. analysis.Branches.Where(b => b.Parameters > 0 && b.Nodes.All(n => rules.MayPrune(map.Node(n))))];
    }

    /// <summary>The mean square of the weights of a block.</summary>
    private static double Norm(OnnxModel model, ResidualBranch branch)
    {
        var map = new NodeMap(model);
        double sum = 0;
        foreach (var address in branch.Nodes)
        {
            var index = GraphEdit.Indexes(model).First(i => i.Number == address.Graph);
            foreach (var weight in NodeWeight.Of(map.Node(address), index).Where(w => ElementTypes.IsFloat(w.Type)))
                sum += model.ReadFloats(weight.Tensor).Sum(v => (double)v * v);
        }

        return sum;
    }
}
