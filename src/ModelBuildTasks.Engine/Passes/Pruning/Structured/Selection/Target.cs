using System.Globalization;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured.Selection;

/// <summary>How much is to go, and how much of it is reached.</summary>
/// <param name="plan">What is asked for.</param>
/// <param name="before">What the model costs now.</param>
/// <param name="choices">What may be pruned.</param>
internal sealed class Target(PrunePlan plan, ModelCost before, IReadOnlyList<GroupChoice> choices)
{
    /// <summary>The share that is to go.</summary>
    public double Asked { get; } = AskedOf(plan, before);

    /// <summary>The share that is to go of a model that costs so much.</summary>
    /// <exception cref="ModelBuildException">MBT2060: what is asked for cannot be counted.</exception>
    public static double AskedOf(PrunePlan plan, ModelCost before) => plan.Measure switch
    {
        PruneMeasure.Latency when before.Nanoseconds <= 0 && before.Macs > 0 =>
            throw new ModelBuildException(DiagnosticCodes.PruneTarget, "time cannot be predicted: the runtime has no cost table; say 'macs' or 'parameters' instead", plan.Location),
        PruneMeasure.Latency or PruneMeasure.Macs when before.Macs <= 0 =>
            throw new ModelBuildException(DiagnosticCodes.PruneTarget, "multiply-accumulates cannot be counted: shapes of the model are known only in a run; give the target a 'calibration', or say 'parameters' or 'amount' instead", plan.Location),
        PruneMeasure.Bytes => 1 - plan.Amount / Math.Max(1, before.Bytes),
        _ => plan.Amount,
    };

    /// <summary>The share that went, in what is asked for; not for an amount, which counts units.</summary>
    public static double Gone(PruneMeasure measure, ModelCost before, ModelCost now) => measure switch
    {
        PruneMeasure.Macs => Share(now.Macs, before.Macs),
        PruneMeasure.Latency => Share(now.Nanoseconds, before.Nanoseconds),
        PruneMeasure.Bytes => Share(now.Bytes, before.Bytes),
        _ => Share(now.Parameters, before.Parameters),
    };

    /// <summary>What a group's first units save, in what is asked for; what two groups save together is less than the sum.</summary>
    public double Saving(GroupChoice choice, int count) => plan.Measure switch
    {
        PruneMeasure.Amount => Weight(choice) * count / choice.Group.Units,
        PruneMeasure.Macs or PruneMeasure.Latency when choices.All(c => c.Group.Macs.Sum() > 0) => Sum(choice, choice.Group.Macs, count),
        _ => Sum(choice, choice.Group.Parameters, count),
    };

    /// <summary>The share that goes with so many units of each group.</summary>
    /// <param name="counts">Units that go, by choice.</param>
    /// <param name="cost">What the model costs then.</param>
    public double Of(int[] counts, Func<ModelCost> cost)
    {
        if (counts.All(c => c == 0))
            return 0;
        if (plan.Measure == PruneMeasure.Amount)
            return choices.Select((c, i) => Weight(c) * counts[i] / c.Group.Units).Sum() / choices.Sum(Weight);
        return Gone(plan.Measure, before, cost());
    }

    /// <summary>A share in words.</summary>
    public string Describe(double share) => string.Create(CultureInfo.InvariantCulture, $"{100 * share:0.0} % of the ") + plan.Measure switch
    {
        PruneMeasure.Macs => "multiply-accumulates",
        PruneMeasure.Latency => "predicted time",
        PruneMeasure.Bytes => "bytes",
        PruneMeasure.Parameters => "parameters",
        _ => "units, each group by its parameters",
    };

    // A share of units is that of each group on average, and a group counts by what it has: a head is more than a hidden unit.
    private static double Weight(GroupChoice choice) => Math.Max(1, choice.Group.Parameters.Sum());

    private static double Sum(GroupChoice choice, IReadOnlyList<long> each, int count) => choice.First(count).Sum(u => (double)each[u]);

    private static double Share(double now, double before) => before > 0 ? 1 - now / before : 0;
}
