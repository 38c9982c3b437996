using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.Quantization;

/// <summary>
/// Weights stored in 8 bits with float arithmetic. Codes, Cast and Mul by the scale are a constant expression, which ONNX
/// Runtime computes once when it loads the model: speed and memory of the original at a quarter of the file. (DequantizeLinear in front
/// of a Conv would run at every inference.) Rows that a Gather picks are scaled behind it, so an embedding stays small in memory too.
/// </summary>
internal sealed class WeightsRewrite(RewriteContext context)
{
    private readonly Dictionary<(int, string, int), (string Name, QuantizedWeight Quantized, double Sqnr, long Bytes)> _stored = [];
    private readonly Dictionary<(int, string), string> _halves = [];
    private readonly Dictionary<(int, string), (string Codes, string Scale, double Sqnr, long Bytes)> _tables = [];

    // What bodies take from the main graph is stored there, once for all of them.
    private readonly List<NodeProto> _front = [];
    private readonly HashSet<string> _ofMain = GraphEdit.Definitions(context.Model.Graph);

    /// <summary>Rewrites the chosen nodes of any graph of the model.</summary>
    public void Apply(IReadOnlyList<FormChoice> chosen)
    {
        foreach (var graph in chosen.GroupBy(c => context.Number(c.Graph)))
        {
            var byNode = graph.ToDictionary<FormChoice, NodeProto>(c => c.Node, ReferenceEqualityComparer.Instance);
            var owner = graph.First().Graph;
            var nodes = new List<NodeProto>();
            foreach (var node in owner.Node)
            {
                if (!byNode.TryGetValue(node, out var choice))
                    nodes.Add(node);
                else if (node.OpType == "Gather")
                    Lookup(owner, node, choice, nodes);
                else
                    Store(owner, node, choice, nodes);
            }

            owner.Node.Clear();
            owner.Node.AddRange(nodes);
        }

        _front.AddRange(context.Model.Graph.Node);
        context.Model.Graph.Node.Clear();
        context.Model.Graph.Node.AddRange(_front);
    }

    /// <summary>The graph that holds a weight, and where the nodes that decode it go.</summary>
    private (GraphProto Graph, List<NodeProto> Nodes) Home(GraphProto graph, string weight, List<NodeProto> nodes) =>
        ReferenceEquals(graph, context.Model.Graph) || !_ofMain.Contains(weight) || GraphEdit.Definitions(graph).Contains(weight)
            ? (graph, nodes) : (context.Model.Graph, _front);

    private void Store(GraphProto graph, NodeProto node, FormChoice choice, List<NodeProto> nodes)
    {
        double? worst = null;
        long bytes = 0;
        if (choice.Form == QuantizedForm.Half)
        {
            foreach (var weight in choice.Weights)
                node.Input[weight.Input] = Half(graph, node.Input[weight.Input], weight, nodes);
            nodes.Add(node);
            context.Decide(choice, "float16 weights", null, choice.Weights.Sum(w => 2 * w.Count));
            return;
        }

        foreach (var weight in choice.Weights)
        {
            var (home, decoding) = Home(graph, node.Input[weight.Input], nodes);
            var key = (context.Number(home), node.Input[weight.Input], weight.ChannelAxis);
            if (!_stored.TryGetValue(key, out var stored))
            {
                var (quantized, sqnr) = context.Quantize(weight);
                var codes = context.Add(home, "w", weight.Tensor.Dims, quantized.Values);
                var shape = weight.Tensor.Dims.Select((d, axis) => axis == weight.ChannelAxis && context.Plan.PerChannel ? d : 1).ToArray();
                var scale = Scales(home, DataType.Float, shape, quantized.Scales);
                string real = context.Fresh("f"), scaled = context.Fresh("v");
                decoding.Add(GraphExtensions.Node("Cast", [codes], [real]).Set("to", (long)DataType.Float));
                decoding.Add(GraphExtensions.Node("Mul", [real, scale], [scaled]));
                if (weight.Type != DataType.Float)
                {
                    // A product of float16 would not be folded on a CPU and run at every inference.
                    (var wide, scaled) = (scaled, context.Fresh("v"));
                    decoding.Add(GraphExtensions.Node("Cast", [wide], [scaled]).Set("to", (long)weight.Type));
                }

                stored = (scaled, quantized, sqnr, weight.Count + quantized.Scales.Length * 4L);
                _stored[key] = stored;
            }

            context.CorrectBias(graph, weight, stored.Quantized);
            node.Input[weight.Input] = stored.Name;
            worst = Math.Min(worst ?? 200, stored.Sqnr);
            bytes += stored.Bytes;
        }

        nodes.Add(node);
        context.Decide(choice, "int8 weights", worst, bytes);
    }

    private string Half(GraphProto graph, string name, NodeWeight weight, List<NodeProto> nodes)
    {
        (graph, nodes) = Home(graph, name, nodes);
        var key = (context.Number(graph), name);
        if (_halves.TryGetValue(key, out var known))
            return known;
        var half = context.SharedHalf(graph, name, weight.Tensor);
        var real = context.Fresh("v");
        nodes.Add(GraphExtensions.Node("Cast", [half], [real]).Set("to", (long)weight.Type));
        return _halves[key] = real;
    }

    private void Lookup(GraphProto graph, NodeProto node, FormChoice choice, List<NodeProto> nodes)
    {
        var weight = choice.Weights[0];
        if (choice.Form == QuantizedForm.Half)
        {
            var rows = context.Fresh("q");
            var halves = context.SharedHalf(graph, node.Input[0], weight.Tensor);
            nodes.Add(GraphExtensions.Node("Gather", [halves, node.Input[1]], [rows], node.Name));
            nodes.Add(GraphExtensions.Node("Cast", [rows], [node.Output[0]]).Set("to", (long)weight.Type));
            context.Decide(choice, "float16 weights", null, 2 * weight.Count);
            return;
        }

        if (!_tables.TryGetValue((context.Number(graph), node.Input[0]), out var table))
        {
            var (quantized, sqnr) = context.Quantize(weight);
            var shape = weight.Tensor.Dims.Select((d, axis) => axis == 0 && context.Plan.PerChannel ? d : 1).ToArray();
            table = (context.Add(graph, "w", weight.Tensor.Dims, quantized.Values),
                Scales(graph, weight.Type, shape, quantized.Scales), sqnr, weight.Count + quantized.Scales.Length * 4L);
            _tables[(context.Number(graph), node.Input[0])] = table;
        }

        string picked = context.Fresh("q"), real = context.Fresh("f"), scale = table.Scale;
        nodes.Add(GraphExtensions.Node("Gather", [table.Codes, node.Input[1]], [picked], node.Name));
        nodes.Add(GraphExtensions.Node("Cast", [picked], [real]).Set("to", (long)weight.Type));
        if (context.Plan.PerChannel)
        {
            scale = context.Fresh("s");
            nodes.Add(GraphExtensions.Node("Gather", [table.Scale, node.Input[1]], [scale]));
        }

        nodes.Add(GraphExtensions.Node("Mul", [real, scale], [node.Output[0]]));
        context.Decide(choice, "int8 weights", table.Sqnr, table.Bytes);
    }

    private string Scales(GraphProto graph, DataType type, long[] shape, float[] scales) => type == DataType.Float16
        ? context.Add<Half>(graph, "sw", type, shape, [.. scales.Select(s => (Half)s)])
        : context.Add<float>(graph, "sw", type, shape, scales);
}
