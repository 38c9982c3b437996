using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Pruning.Structured.Labels;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured.Rules;

/// <summary>Finds the rule of a node. What has none is a barrier: all that it reads stays, and of what it makes nothing can be removed.</summary>
internal static class OperatorRules
{
    private static readonly Func<Visit, bool>[] Families =
    [
        ShapeRules.Apply, MovementRules.Apply, SelectionRules.Apply, ElementwiseRules.Apply, ProductRules.Apply, ConvolutionRules.Apply, NormalizationRules.Apply, SpatialRules.Apply, ExtensionRules.Apply,
        RecurrentRules.Apply,
    ];

    public static void Apply(Visit visit)
    {
        var node = visit.Node;
        if (node.Is("Constant"))
            return;
        string? reason = null;
        try
        {
            if (!node.IsStandard())
                reason = $"nothing is known of the operator {node.Domain}.{node.OpType}";
            else if (node.Bodies().Any())
                reason = "its branches or bodies read it";
            else if (Families.Any(apply => apply(visit)))
                return;
        }
        catch (UnknownRankException)
        {
            reason = "the number of dimensions of what it reads is not known";
        }

        Barrier(visit, reason ?? $"it is not known how {node.OpType} treats what it reads");
    }

    private static void Barrier(Visit visit, string reason)
    {
        var barrier = visit.Barrier(reason);
        foreach (var name in GraphIndex.Reads(visit.Node).Distinct())
        {
            // Bodies see the constants of the graphs around them as what they are.
            if (visit.Node.Input.Contains(name) || visit.Scope.Index.Constant(name) is null)
            {
                visit.PinAll(visit.Labelling.Label(visit.Scope, name).Layout, barrier);
                foreach (var atom in visit.Labelling.Vector(visit.Scope, name)?.SelectMany(d => d.Atoms ?? []) ?? [])
                    visit.Pin(atom.Block?.Cells ?? [], barrier);
            }
        }

        for (var i = 0; i < visit.Node.Output.Count; i++)
            visit.Set(i, visit.Node.Output[i].Length > 0 && visit.Labelling.Shape(visit.Node.Output[i]) is { } shape ? Layout.Opaque(shape) : null);
    }
}
