using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Autodiff.Lowering;

/// <summary>LSTM, GRU and RNN as their steps, one after the other, at the length that is trained on.</summary>
internal static class Recurrence
{
    public static IEnumerable<KeyValuePair<string, OperatorLowering>> Lowerings =>
    [
        new("LSTM", new((g, b, n) => Unroll(g, b, n, 4)) { Limit = Limit }),
        new("GRU", new((g, b, n) => Unroll(g, b, n, 3)) { Limit = Limit }),
        new("RNN", new((g, b, n) => Unroll(g, b, n, 1)) { Limit = Limit }),
    ];

    private static string? Limit(ShapedGraph graph, NodeProto node)
    {
        if (node.Attribute("clip") is not null)
            return $"{node.OpType} with clip";
        if (node.Int("layout") != 0)
            return $"{node.OpType} with the batch first";
        if (node.Int("input_forget") != 0)
            return "LSTM with coupled gates";
        if (node.InputOrEmpty(7).Length > 0)
            return "LSTM with peepholes";
        if (Activations(node).FirstOrDefault(a => a is not ("Sigmoid" or "Tanh" or "Relu" or "Softplus" or "Softsign")) is { } other)
            return $"{node.OpType} with {other}";
        var lengths = node.InputOrEmpty(4);
        return lengths.Length == 0 || graph.Longs(lengths)?.All(l => l == graph.Shape(node.Input[0])[0]) == true ? null : $"{node.OpType} with sequences of different lengths";
    }

    private static List<string> Activations(NodeProto node) =>
        node.Attribute("activations")?.Strings.Select(s => s.ToStringUtf8()).ToList() is { Count: > 0 } given ? given
        : [.. Enumerable.Repeat(node.OpType switch { "LSTM" => new[] { "Sigmoid", "Tanh", "Tanh" }, "GRU" => ["Sigmoid", "Tanh"], _ => ["Tanh"] }, 2).SelectMany(a => a)];

    private static IReadOnlyList<string?> Unroll(ShapedGraph graph, GraphBuilder b, NodeProto node, int gates)
    {
        var x = graph.Shape(node.Input[0]);
        var w = graph.Shape(node.Input[1]);
        var (length, batch, directions, hidden) = (x[0], x[1], w[0], w[1] / gates);
        var flat = b.Reshape(node.Input[0], length * batch, x[2]);
        var weights = Parts(b, node.Input[1], directions, w[1..]);
        var recurrences = Parts(b, node.Input[2], directions, [w[1], hidden]);
        var biases = node.InputOrEmpty(3) is { Length: > 0 } bias ? Parts(b, bias, directions, [2 * w[1]]) : null;
        var starts = Start(b, node.InputOrEmpty(5), directions, [batch, hidden]);
        var cells = gates == 4 ? Start(b, node.InputOrEmpty(6), directions, [batch, hidden]) : null;
        var activations = Activations(node);
        var each = activations.Count / (int)Math.Max(directions, 1);
        var (all, last, lastCells) = (new List<string>(), new List<string>(), new List<string>());
        for (var d = 0; d < directions; d++)
        {
            var backwards = d == 1 || node.String("direction", "forward") == "reverse";
            var halves = biases is null ? null : b.Split(biases[d], [w[1], w[1]], 0);
            var cell = new RecurrentCell(b, [.. activations.Skip(d * each).Take(each)], hidden, recurrences[d], halves?[1], node.Int("linear_before_reset") != 0);
            var inputs = b.Gemm(flat, weights[d], transB: true);
            inputs = cell.AddBias(inputs, halves?[0]);
            // Split and not sliced: the gradient of one split is one concatenation, that of many slices many additions of the whole.
            var steps = b.Split(b.Reshape(inputs, length, batch, w[1]), [.. Enumerable.Repeat(1L, (int)length)], 0);
            var (h, c) = (starts[d], cells?[d]);
            var outputs = new string[length];
            for (var s = 0; s < length; s++)
            {
                var t = backwards ? length - 1 - s : s;
                (h, c) = cell.Step(gates, b.Reshape(steps[t], batch, w[1]), h, c);
                outputs[t] = b.Reshape(h, 1, 1, batch, hidden);
            }

            all.Add(b.Concat(outputs, 0));
            last.Add(b.Reshape(h, 1, batch, hidden));
            if (c is not null)
                lastCells.Add(b.Reshape(c, 1, batch, hidden));
        }

        return [b.Concat(all, 1), b.Concat(last, 0), gates == 4 ? b.Concat(lastCells, 0) : null];
    }

    private static string[] Parts(GraphBuilder b, string x, long directions, long[] shape) =>
        [.. b.Split(x, [.. Enumerable.Repeat(1L, (int)directions)], 0).Select(p => b.Reshape(p, shape))];

    private static string[] Start(GraphBuilder b, string given, long directions, long[] shape) =>
        given.Length > 0 ? Parts(b, given, directions, shape) : [.. Enumerable.Range(0, (int)directions).Select(_ => b.Zeros(shape))];
}
