using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Autodiff.Rules;

/// <summary>
/// What is linear along each axis on its own: resizing and padding. The matrix of an axis is what the operator itself makes of the identity,
/// so that every mode of ONNX Runtime is followed as it is; it depends on constants only and is computed when the session is made.
/// </summary>
internal static class Resampling
{
    public static IEnumerable<KeyValuePair<string, OperatorRule>> Rules =>
    [
        new("Resize", new(Resize) { Inputs = [0], Limit = ResizeLimit }),
        new("Pad", new(Pad) { Inputs = [0], Limit = (g, n) => g.Longs(n.Input[1]) is null ? "Pad with computed pads" : null }),
    ];

    private static string? ResizeLimit(ShapedGraph graph, NodeProto node) => node.String("coordinate_transformation_mode") == "tf_crop_and_resize" ? "Resize of a crop"
        : node.String("keep_aspect_ratio_policy", "stretch") != "stretch" ? "Resize that keeps the aspect ratio" : null;

    private static void Resize(Backward backward, NodeProto node)
    {
        var b = backward.Build;
        var (x, y) = (backward.Shape(node.Input[0]), backward.Shape(node.Output[0]));
        long[] axes = [.. (node.Ints("axes") ?? [.. Enumerable.Range(0, x.Length).Select(i => (long)i)]).Select(a => a < 0 ? a + x.Length : a)];
        var scales = backward.Graph.Floats(node.InputOrEmpty(2));
        var g = backward.Of(node);
        for (var axis = 0; axis < x.Length; axis++)
        {
            var given = Array.IndexOf(axes, axis);
            var scale = scales is { Length: > 0 } && given >= 0 ? scales[given] : (float?)null;
            if (x[axis] == y[axis] && scale is null or 1)
                continue;
            string[] inputs = scale is { } s
                ? [Identity(b, x[axis]), "", b.Floats([2], [1, s])]
                : [Identity(b, x[axis]), "", "", b.Ints(x[axis], y[axis])];
            var matrix = b.Op("Resize", inputs, n => n.Attribute.AddRange(node.Attribute.Where(a => a.Name is not ("axes" or "keep_aspect_ratio_policy")).Select(a => a.Clone())));
            g = Along(b, g, y, x, axis, matrix);
            y = [.. y[..axis], x[axis], .. y[(axis + 1)..]];
        }

        backward.Give(node, 0, g);
    }

    private static void Pad(Backward backward, NodeProto node)
    {
        var b = backward.Build;
        var (x, y) = (backward.Shape(node.Input[0]), backward.Shape(node.Output[0]));
        var mode = node.String("mode", "constant");
        var pads = backward.Graph.Longs(node.Input[1])!;
        var axes = backward.Graph.Longs(node.InputOrEmpty(3)) ?? [.. Enumerable.Range(0, x.Length).Select(i => (long)i)];
        var (begins, ends) = (new long[x.Length], new long[x.Length]);
        for (var i = 0; i < axes.Length; i++)
        {
            var axis = axes[i] < 0 ? axes[i] + x.Length : axes[i];
            (begins[axis], ends[axis]) = (pads[i], pads[i + axes.Length]);
        }

        var g = backward.Of(node);
        if (mode == "constant")
        {
            backward.Give(node, 0, b.Pad(g, [.. begins.Select(p => -p)], [.. ends.Select(p => -p)]));
            return;
        }

        for (var axis = 0; axis < x.Length; axis++)
        {
            if (begins[axis] == 0 && ends[axis] == 0)
                continue;
            var matrix = b.Op("Pad", [Identity(b, x[axis]), b.Ints(0, begins[axis], 0, ends[axis])], n => n.Set("mode", mode));
            g = Along(b, g, y, x, axis, matrix);
            y = [.. y[..axis], x[axis], .. y[(axis + 1)..]];
        }

        backward.Give(node, 0, g);
    }

    private static string Identity(GraphBuilder b, long size)
    {
        var values = new float[size * size];
        for (long i = 0; i < size; i++)
            values[(i * size) + i] = 1;
        return b.Floats([size, size], values);
    }

    /// <summary>Multiplies an axis of length y with a matrix [x, y].</summary>
    private static string Along(GraphBuilder b, string g, long[] y, long[] x, int axis, string matrix)
    {
        var (before, after) = (ElementTypes.Count(y[..axis]), ElementTypes.Count(y[(axis + 1)..]));
        var result = after == 1
            ? b.MatMul(b.Reshape(g, before, y[axis]), b.Transpose(matrix, 1, 0))
            : b.MatMul(matrix, b.Reshape(g, before, y[axis], after));
        return b.Reshape(result, [.. y[..axis], x[axis], .. y[(axis + 1)..]]);
    }
}
