using System.Globalization;
using ModelBuildTasks.Engine.Passes.Pruning.Structured.Selection;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured;

/// <summary>What the report says of a pruned model.</summary>
internal static class Words
{
    /// <summary>What went, and what the model cost before and costs now.</summary>
    public static string Summary(ModelCost before, ModelCost after, string what)
    {
        var time = before.Nanoseconds > 0 ? $", predicted time {Percent(after.Nanoseconds / before.Nanoseconds)}" : "";
        return string.Create(CultureInfo.InvariantCulture,
            $"{what}: parameters {before.Parameters:N0} to {after.Parameters:N0} ({Of(after.Parameters, before.Parameters)}), multiply-accumulates {before.Macs:N0} to {after.Macs:N0} ({Of(after.Macs, before.Macs)}){time}");
    }

    private static string Of(long now, long before) => Percent(now / (double)Math.Max(1, before));

    private static string Percent(double share) => string.Create(CultureInfo.InvariantCulture, $"{100 * share:0.0} %");
}
