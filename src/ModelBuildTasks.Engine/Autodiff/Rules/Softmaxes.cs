using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Autodiff.Rules;

/// <summary>Softmax and its logarithm, from their results.</summary>
internal static class Softmaxes
{
    public static IEnumerable<KeyValuePair<string, OperatorRule>> Rules =>
    [
        new("Softmax", new(Softmax)),
        new("LogSoftmax", new(LogSoftmax)),
    ];

    private static void Softmax(Backward backward, NodeProto node)
    {
        var (b, g, y) = (backward.Build, backward.Of(node), node.Output[0]);
        var weighted = b.Mul(g, y);
        backward.Give(node, 0, b.Sub(weighted, b.Mul(y, b.ReduceSum(weighted, [Axis(backward, node)]))));
    }

    private static void LogSoftmax(Backward backward, NodeProto node)
    {
        var (b, g) = (backward.Build, backward.Of(node));
        backward.Give(node, 0, b.Sub(g, b.Mul(b.Op("Exp", node.Output[0]), b.ReduceSum(g, [Axis(backward, node)]))));
    }

    private static long Axis(Backward backward, NodeProto node) => ShapedGraph.Axis(node, backward.Shape(node.Input[0]).Length, -1);
}
