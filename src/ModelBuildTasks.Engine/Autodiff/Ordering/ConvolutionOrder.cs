using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Autodiff.Ordering;

/// <summary>
/// Convolutions of one sample. Of several samples, or groups, ONNX Runtime gives each thread whole ones; of one, parts of its places, and how it cuts a long
/// sum depends on how many these are. One group of outputs becomes several, which all read the whole input.
/// </summary>
internal static class ConvolutionOrder
{
    // Each group lays out the whole input anew, and the fewer outputs it has the slower are its products: a step of a face detector takes 92 ms with up to eight, 65 ms so.
    private const int MostGroups = 4;
    private const int FewestOutputs = 16;

    public static bool Conv(ShapedGraph graph, GraphBuilder b, NodeProto node)
    {
        var (x, w) = (graph.Shape(node.Input[0]), graph.Shape(node.Input[1]));
        if (x[0] * node.Int("group", 1) != 1 || ElementTypes.Count(w[1..]) <= ProductOrder.Uncut)
            return false;
        List<int> possible = [.. Enumerable.Range(2, MostGroups - 1).Where(g => w[0] % g == 0)];
        if (possible.Count == 0)
        {
            // Twice the sample is twice the work, for two threads.
            var twice = b.Op("Conv", [b.Concat([node.Input[0], node.Input[0]], 0), .. node.Input.Skip(1)], n => n.Attribute.AddRange(node.Attribute.Select(a => a.Clone())));
            b.Node("Slice", [twice, b.Ints(0), b.Ints(1), b.Ints(0)], [node.Output[0]]);
            return true;
        }

        var groups = Math.Max(possible[0], possible.LastOrDefault(g => w[0] / g >= FewestOutputs));
        b.Node("Conv", [b.Concat([.. Enumerable.Repeat(node.Input[0], groups)], 1), .. node.Input.Skip(1)], [node.Output[0]], n =>
        {
            n.Attribute.AddRange(node.Attribute.Where(a => a.Name != "group").Select(a => a.Clone()));
            n.Set("group", groups);
        });
        return true;
    }
}
