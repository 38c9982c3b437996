using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Autodiff.Rules;

/// <summary>What writes into a copy of a tensor: what was written over has no gradient, what was written takes its own from there.</summary>
internal static class Scattering
{
    public static IEnumerable<KeyValuePair<string, OperatorRule>> Rules =>
    [
        new("ScatterND", new(ScatterND) { Inputs = [0, 2], Limit = Limit }),
        new("ScatterElements", new(ScatterElements) { Inputs = [0, 2], Limit = Limit }),
    ];

    private static string? Limit(ShapedGraph graph, NodeProto node) =>
        node.String("reduction", "none") is "none" or "add" ? null : $"{node.OpType} with reduction {node.String("reduction")}";

    private static void ScatterND(Backward backward, NodeProto node)
    {
        var (b, g) = (backward.Build, backward.Of(node));
        if (backward.Wants(node, 0))
            backward.Give(node, 0, Adds(node) ? g : b.Op("ScatterND", g, node.Input[1], b.Zeros(backward.Shape(node.Input[2]))));
        if (backward.Wants(node, 2))
            backward.Give(node, 2, b.Op("GatherND", g, node.Input[1]));
    }

    private static void ScatterElements(Backward backward, NodeProto node)
    {
        var (b, g) = (backward.Build, backward.Of(node));
        void axis(NodeProto n) => n.Set("axis", node.Int("axis"));
        if (backward.Wants(node, 0))
            backward.Give(node, 0, Adds(node) ? g : b.Op("ScatterElements", [g, node.Input[1], b.Zeros(backward.Shape(node.Input[2]))], axis));
        if (backward.Wants(node, 2))
            backward.Give(node, 2, b.Op("GatherElements", [g, node.Input[1]], axis));
    }

    private static bool Adds(NodeProto node) => node.String("reduction", "none") == "add";
}
