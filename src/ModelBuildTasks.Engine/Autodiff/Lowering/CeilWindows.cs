using ModelBuildTasks.Engine.Autodiff.Rules;
using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Autodiff.Lowering;

/// <summary>
/// Writes the pads out that ceil_mode adds. Shape inference and ONNX Runtime's kernels do not always agree on whether ceil_mode gives a last
/// window, so that a graph with anything behind it may not load; with pads they agree.
/// </summary>
internal static class CeilWindows
{
    public static void Apply(ShapedGraph graph)
    {
        foreach (var node in graph.Model.Graph.Node.Where(n => n.OpType is "MaxPool" or "AveragePool" && n.IsStandard() && n.Int("ceil_mode") != 0 && Limit(graph, n) is null))
        {
            var (x, y) = (graph.Shape(node.Input[0])[2..], graph.Shape(node.Output[0])[2..]);
            var windows = Windows.Of(node, node.Ints("kernel_shape")!, x, y);
            node.RemoveAttribute("auto_pad").Set("ceil_mode", 0);
            windows.Write(node, [.. windows.ExactEnds(x, y).Select(e => Math.Max(0, e))]);
        }
    }

    /// <summary>
    /// A mean that counts pads counts those that are written, but not those that ceil_mode adds; and no more than a kernel of pads can be
    /// written, dilated or not.
    /// </summary>
    public static string? Limit(ShapedGraph graph, NodeProto node)
    {
        if (node.Int("ceil_mode") == 0)
            return null;
        if (node.Int("count_include_pad") != 0)
            return "AveragePool with ceil_mode that counts its pads";
        var kernel = node.Ints("kernel_shape")!;
        var (x, y) = (graph.Shape(node.Input[0])[2..], graph.Shape(node.Output[0])[2..]);
        var ends = Windows.Of(node, kernel, x, y).ExactEnds(x, y);
        return ends.Zip(kernel).All(e => e.First < e.Second) ? null : $"{node.OpType} with ceil_mode and dilations";
    }
}
