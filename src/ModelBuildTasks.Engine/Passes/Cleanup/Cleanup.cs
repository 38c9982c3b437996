using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.CleanupSteps;

namespace ModelBuildTasks.Engine.Passes;

/// <summary>
/// Graph clean-up: the operator set is raised to what the runtime takes, and what a model carries from training and export is
/// folded or removed, in the main graph and in bodies. Outputs stay the same up to float rounding; names of graph inputs and
/// outputs never change.
/// </summary>
public static class Cleanup
{
    /// <summary>Cleans up a copy of the model.</summary>
    /// <param name="model">The model; it stays as it is.</param>
    /// <param name="context">Names the operator set to upgrade to.</param>
    /// <returns>The new model, and a decision for each node that was folded or removed and for each batch normalization that was left.</returns>
    public static PassResult Run(OnnxModel model, PassContext context)
    {
        // First of all: the upgrade rewrites parameters where they are constant.
        var copy = model.Clone();
        NodeOrder.Apply(copy);
        var inputs = new Step("input", "made constant", () => InitializerInputs.Apply(copy));
        var decisions = new List<Decision>(inputs.Run().Decisions);
        var upgrade = OpsetUpgrade.Upgrade(copy, context.Runtime.Opset);
        var clean = upgrade.Model.Clone();
        var order = Order(clean);
        if (upgrade.Reason is not null)
            decisions.Add(new Decision(clean.Graph.Name, "Graph", StepResult.Left, $"opset {upgrade.To} stays: {upgrade.Reason}"));

        var names = new NameAllocator(clean);
        var folding = new FoldingState(clean);
        var types = new InferredTypes(clean);
        var steps = new Step[]
        {
            new("constant node", "stored as weights", () => ConstantNodes.Apply(clean)),
            new("node", "removed", () => PassThroughNodes.Apply(clean, types)),
            new("node", "computed ahead", () => StaticShapes.Apply(clean, types)),
            new("node", "computed ahead", () => ConstantFolding.Apply(clean, folding, names)),
            new("batch norm", "folded", () => BatchNormalizations.Apply(clean, types, names)),
            new("channel operation", "folded", () => ChannelArithmetic.Apply(clean, names)),
            new("node", "removed", () => DeadNodes.Apply(clean)),
            new("unused weight", "removed", () => new StepResult(UnusedInitializers.Remove(clean.Graph), [])),
        };
        Settle(steps, types, decisions);
        var last = new Step("duplicate weight", "merged", () => DuplicateInitializers.Apply(clean));
        last.Run();
        StaleInformation.Apply(clean);

        var sorted = decisions.OrderBy(d => order.GetValueOrDefault(d.Name, -1)).ToList();
        return new PassResult(clean, sorted, Summary(upgrade, [inputs, .. steps, last]));
    }

    /// <summary>Runs the steps in turn until none of them changes anything.</summary>
    private static void Settle(IReadOnlyList<Step> steps, InferredTypes types, List<Decision> decisions)
    {
        List<Decision> left;
        int changes;
        do
        {
            left = [];
            changes = 0;
            types.Forget();
            foreach (var step in steps)
            {
                var result = step.Run();
                changes += result.Changes;
                decisions.AddRange(result.Decisions.Where(d => d.What != StepResult.Left));
                left.AddRange(result.Decisions.Where(d => d.What == StepResult.Left));
            }
        }
        while (changes > 0);
        // What was left in a round may have been done in a later one: only the last round tells.
        decisions.AddRange(left);
    }

    /// <summary>The place of each node in the model as it came.</summary>
    private static Dictionary<string, int> Order(OnnxModel model)
    {
        var order = new Dictionary<string, int>();
        foreach (var node in model.Graph.WithBodies().SelectMany(g => g.Node))
            order.TryAdd(node.DisplayName(), order.Count);
        return order;
    }

    private static string Summary(UpgradeResult upgrade, IReadOnlyList<Step> steps)
    {
        var parts = new List<string>();
        if (upgrade.To != upgrade.From)
            parts.Add($"opset {upgrade.From} -> {upgrade.To}");
        if (upgrade.Reason is not null)
            parts.Add($"opset stays {upgrade.To} ({upgrade.Reason})");
        parts.AddRange(steps.GroupBy(s => (s.Noun, s.Done))
            .Select(g => (g.Key, Count: g.Sum(s => s.Changes)))
            .Where(g => g.Count > 0)
            .Select(g => $"{g.Count} {g.Key.Noun}{(g.Count == 1 ? "" : "s")} {g.Key.Done}"));
        return parts.Count == 0 ? "nothing to clean up" : string.Join(", ", parts);
    }

    private sealed class Step(string noun, string done, Func<StepResult> apply)
    {
        public string Noun => noun;

        public string Done => done;

        public int Changes { get; private set; }

        public StepResult Run()
        {
            var result = apply();
            Changes += result.Changes;
            return result;
        }
    }
}
