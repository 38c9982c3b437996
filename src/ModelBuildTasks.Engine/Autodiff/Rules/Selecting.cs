using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Autodiff.Rules;

/// <summary>What takes a part of a tensor: the gradient goes back to that part, and the rest gets zeros.</summary>
internal static class Selecting
{
    public static IEnumerable<KeyValuePair<string, OperatorRule>> Rules =>
    [
        new("Slice", new(Slice) { Inputs = [0], Limit = SliceLimit }),
        new("Gather", new(Gather) { Inputs = [0] }),
        new("GatherElements", new(GatherElements) { Inputs = [0] }),
        new("GatherND", new(GatherND) { Inputs = [0], Limit = (_, n) => n.Int("batch_dims") != 0 ? "GatherND with batch_dims" : null }),
        new("TopK", new(TopK) { Inputs = [0], Limit = (_, n) => n.Output[1].Length == 0 ? "TopK that does not show its indices" : null }),
    ];

    // What was chosen takes its gradient back to where it came from.
    private static void TopK(Backward backward, NodeProto node) => backward.Give(node, 0, backward.Build.Op(
        "ScatterElements", [backward.Build.Zeros(backward.Shape(node.Input[0])), node.Output[1], backward.Of(node)], n => n.Set("axis", node.Int("axis", -1))));

    private static string? SliceLimit(ShapedGraph graph, NodeProto node) =>
        Enumerable.Range(1, node.Input.Count - 1).Any(i => node.Input[i].Length > 0 && graph.Longs(node.Input[i]) is null) ? "Slice with computed limits" : null;

    private static void Slice(Backward backward, NodeProto node)
    {
        var b = backward.Build;
        var (x, y) = (backward.Shape(node.Input[0]), backward.Shape(node.Output[0]));
        var starts = backward.Graph.Longs(node.Input[1])!;
        var axes = backward.Graph.Longs(node.InputOrEmpty(3)) ?? [.. Enumerable.Range(0, starts.Length).Select(i => (long)i)];
        var steps = backward.Graph.Longs(node.InputOrEmpty(4)) ?? [.. starts.Select(_ => 1L)];
        if (y.Contains(0))
        {
            backward.Give(node, 0, b.Filled(x, 0));
            return;
        }

        var g = backward.Of(node);
        var (begins, ends) = (new long[x.Length], new long[x.Length]);
        var shape = y.ToArray();
        for (var i = 0; i < axes.Length; i++)
        {
            var axis = (int)(axes[i] < 0 ? axes[i] + x.Length : axes[i]);
            var (step, dim, count) = (steps[i], x[axis], y[axis]);
            var start = Math.Clamp(starts[i] < 0 ? starts[i] + dim : starts[i], 0, dim - 1);
            if (step < 0)
            {
                g = b.Reverse(g, axis);
                (start, step) = (start + ((count - 1) * step), -step);
            }

            if (step > 1)
            {
                g = Spread(b, g, shape, axis, step);
                shape[axis] = count * step;
            }

            // The last step may reach beyond the end: then this cuts off.
            begins[axis] = start;
            ends[axis] = dim - start - shape[axis];
        }

        backward.Give(node, 0, b.Pad(g, begins, ends));
    }

    /// <summary>Puts zeros behind each value along an axis.</summary>
    private static string Spread(GraphBuilder b, string g, long[] shape, int axis, long step)
    {
        var zeros = new long[shape.Length + 1];
        var ends = new long[shape.Length + 1];
        ends[axis + 1] = step - 1;
        var open = b.Reshape(g, [.. shape[..(axis + 1)], 1, .. shape[(axis + 1)..]]);
        return b.Reshape(b.Pad(open, zeros, ends), [.. shape[..axis], shape[axis] * step, .. shape[(axis + 1)..]]);
    }

    private static void Gather(Backward backward, NodeProto node)
    {
        var b = backward.Build;
        var x = backward.Shape(node.Input[0]);
        var axis = ShapedGraph.Axis(node, x.Length, 0);
        var g = backward.Of(node);
        long[] row = [.. x[..axis], .. x[(axis + 1)..]];
        if (backward.Graph.Longs(node.Input[1]) is { } known)
        {
            long[] places = [.. known.Select(i => i < 0 ? i + x[axis] : i)];
            long[] parts = [.. x[..axis], places.Length, .. x[(axis + 1)..]];
            if (IsRun(places))
            {
                var (begins, ends) = (new long[x.Length], new long[x.Length]);
                (begins[axis], ends[axis]) = (places[0], x[axis] - places[0] - places.Length);
                backward.Give(node, 0, b.Pad(b.Reshape(g, parts), begins, ends));
                return;
            }

            if (places.Length == x[axis] && places.Distinct().Count() == places.Length)
            {
                // A new order, such as that of shuffled channels: the old order is taken back.
                var back = new long[places.Length];
                for (var i = 0; i < back.Length; i++)
                    back[places[i]] = i;
                backward.Give(node, 0, b.Op("Gather", [b.Reshape(g, parts), b.Ints(back)], n => n.Set("axis", axis)));
                return;
            }
        }

        var count = ElementTypes.Count(backward.Shape(node.Input[1]));
        backward.Give(node, 0, AddRows(b, b.Reshape(g, [.. x[..axis], count, .. x[(axis + 1)..]]), b.Reshape(node.Input[1], count), x, axis, count));
    }

    private static bool IsRun(long[] places) => places.Length > 0 && places.Select((p, i) => p - i).All(d => d == places[0]);

    /// <summary>
    /// Adds rows to the places along an axis that a list of indices names. Element by element and not row by row (ScatterND): ONNX Runtime adds
    /// rows from several threads at once, and their order, and with it the sum, would change from run to run.
    /// </summary>
    private static string AddRows(GraphBuilder b, string rows, string indices, long[] shape, int axis, long count)
    {
        var open = Enumerable.Repeat(1L, shape.Length).ToArray();
        open[axis] = count;
        long[] full = [.. shape[..axis], count, .. shape[(axis + 1)..]];
        return Add(b, b.Zeros(shape), b.Expand(b.Reshape(indices, open), full), rows, axis);
    }

    private static string Add(GraphBuilder b, string to, string indices, string updates, int axis) =>
        b.Op("ScatterElements", [to, indices, updates], n => n.Set("axis", axis).Set("reduction", "add"));

    private static void GatherElements(Backward backward, NodeProto node)
    {
        var x = backward.Shape(node.Input[0]);
        backward.Give(node, 0, Add(backward.Build, backward.Build.Zeros(x), node.Input[1], backward.Of(node), ShapedGraph.Axis(node, x.Length, 0)));
    }

    private static void GatherND(Backward backward, NodeProto node)
    {
        var b = backward.Build;
        var x = backward.Shape(node.Input[0]);
        var indices = backward.Shape(node.Input[1]);
        var depth = (int)indices[^1];
        var count = ElementTypes.Count(indices[..^1]);
        var (rows, row) = (ElementTypes.Count(x[..depth]), ElementTypes.Count(x[depth..]));
        // Several indices become one: the place of the row among all rows.
        var strides = new long[depth];
        for (var i = depth - 1; i >= 0; i--)
            strides[i] = i == depth - 1 ? 1 : strides[i + 1] * x[i + 1];
        var at = b.Reshape(node.Input[1], count, depth);
        var positive = b.Op("Where", b.Op("Less", at, b.IntScalar(0)), b.Add(at, b.Ints(x[..depth])), at);
        var flat = b.ReduceSum(b.Mul(positive, b.Ints(strides)), [1], keep: false);
        backward.Give(node, 0, b.Reshape(AddRows(b, b.Reshape(backward.Of(node), count, row), flat, [rows, row], 0, count), x));
    }
}
