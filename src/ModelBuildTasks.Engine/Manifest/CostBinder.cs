using ModelBuildTasks.Engine.Manifest.Schema;

namespace ModelBuildTasks.Engine.Manifest;

/// <summary>Binds <c>costs:</c> of a policy.</summary>
internal static class CostBinder
{
    /// <summary>The table; without the section an empty one.</summary>
    public static CostTable Bind(ObjectValue? costs) => costs is null ? CostTable.Empty : new()
    {
        Run = Number(costs, "run"),
        Block = costs.Get<long>("block") ?? 1,
        Fused = Words(costs["fused"]).ToHashSet(),
        Quantize = Cost(costs["quantize"]) ?? default,
        Dequantize = Cost(costs["dequantize"]) ?? default,
        DynamicQuantize = Cost(costs["dynamic_quantize"]) ?? default,
        Behind = [.. ((costs["behind"] as ListValue)?.Items ?? []).OfType<ObjectValue>().Select(Row)],
        Kernels = [.. ((costs["kernels"] as ListValue)?.Items ?? []).OfType<ObjectValue>().Select(Row)],
    };

    private static KernelRow Row(ObjectValue row) => new(
        Words(row["operators"]), row.Text("kind") is { } kind ? Enum.Parse<KernelKind>(kind, ignoreCase: true) : null, Cost(row["float"]) ?? default)
    {
        Static = Cost(row["static"]),
        Dynamic = Cost(row["dynamic"]),
    };

    private static KernelCost? Cost(Value? value) => value is ObjectValue cost
        ? new(Number(cost, "node"), Number(cost, "mac"), Number(cost, "in"), Number(cost, "out"), Number(cost, "weight"), Number(cost, "column"), Number(cost, "tap"))
        : null;

    private static double Number(ObjectValue value, string key) => value.Get<double>(key) ?? 0;

    private static IReadOnlyList<string> Words(Value? list) => (list as ListValue)?.Contents<string>() ?? [];
}
