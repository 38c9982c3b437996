using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Reporting;

namespace ModelBuildTasks.Engine.Pipeline;

/// <summary>The decisions of all passes as one row a node.</summary>
internal static class Layers
{
    /// <summary>A decision that leaves a node as it is.</summary>
    public const string Left = "left";

    /// <summary>One row a node in the order in which nodes first came up: the last decision counts, bytes before are those of the first.</summary>
    public static IReadOnlyList<LayerReport> Merge(IEnumerable<PassResult> results)
    {
        var rows = new OrderedDictionary<string, LayerReport>();
        foreach (var d in results.SelectMany(r => r.Decisions))
        {
            var row = new LayerReport(d.Name, d.Op, d.What, d.Reason, Finite(d.Sqnr), d.BytesBefore, d.BytesAfter);
            if (!rows.TryGetValue(d.Name, out var before))
                rows.Add(d.Name, row);
            else if (d.What != Left || before.Decision == Left)
                rows[d.Name] = row with { BytesBefore = before.BytesBefore > 0 ? before.BytesBefore : row.BytesBefore };
        }

        return [.. rows.Values];
    }

    /// <summary>The rows when what the passes did was given up.</summary>
    public static IReadOnlyList<LayerReport> GivenUp(IReadOnlyList<LayerReport> rows, string reason) =>
        [.. rows.Select(r => r.Decision == Left ? r : r with { Decision = Left, Reason = reason, Sqnr = null, BytesAfter = r.BytesBefore })];

    /// <summary>Whether a pass changed nothing.</summary>
    public static bool DidNothing(PassResult result) => result.Decisions.All(d => d.What == Left);

    /// <summary>The reason most nodes were left for, the first of equals; null without any.</summary>
    public static string? MainReason(PassResult result) => result.Decisions
        .GroupBy(d => d.Reason)
        .OrderByDescending(g => g.Count())
        .FirstOrDefault()?.Key;

    private static double? Finite(double? sqnr) => sqnr switch
    {
        null => null,
        double.NaN => null,
        var v => Math.Clamp(v.Value, -200, 200),
    };
}
