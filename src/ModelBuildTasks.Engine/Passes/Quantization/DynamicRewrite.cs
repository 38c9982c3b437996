using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.Quantization;

/// <summary>
/// Integer matrix products whose activations get scale and zero point at run time: DynamicQuantizeLinear, MatMulInteger,
/// Cast, Mul, the chain that ONNX Runtime fuses. Products of one activation share its quantization.
/// </summary>
internal sealed class DynamicRewrite(RewriteContext context)
{
    // Of the graph at hand; a body sees those made in front of it outside.
    private Dictionary<string, (string Codes, string Scale, string ZeroPoint)> _activations = [];

    /// <summary>Rewrites the chosen MatMul, Gemm and LSTM nodes of the main graph and of all bodies.</summary>
    public void Apply(IReadOnlyDictionary<NodeProto, FormChoice> chosen)
    {
        if (chosen.Count > 0)
            Apply(context.Model.Graph, chosen);
    }

    private void Apply(GraphProto graph, IReadOnlyDictionary<NodeProto, FormChoice> chosen)
    {
        var nodes = new List<NodeProto>();
        foreach (var node in graph.Node)
        {
            foreach (var body in node.Bodies())
            {
                var outside = _activations;
                _activations = new(outside);
                Apply(body, chosen);
                _activations = outside;
            }

            if (chosen.TryGetValue(node, out var choice))
                Rewrite(graph, node, choice, nodes);
            else
                nodes.Add(node);
        }

        graph.Node.Clear();
        graph.Node.AddRange(nodes);
    }

    private void Rewrite(GraphProto graph, NodeProto node, FormChoice choice, List<NodeProto> nodes)
    {
        if (node.OpType == "LSTM")
        {
            var done = choice.Weights.Select(w => (Weight: w, Result: context.QuantizeForIntegers(w))).ToList();
            nodes.Add(DynamicLstm.Make(context, context.Model.Graph, node, [.. done.Select(d => (d.Weight, d.Result.Quantized))]));
            context.Decide(choice, "int8 dynamic", done.Min(d => d.Result.Sqnr), choice.Weights.Sum(w => w.Count + w.Outer * w.Channels * 4));
            return;
        }

        if (choice.IsProduct)
        {
            var (left, right) = (Activation(node.Input[0], nodes), Activation(node.Input[1], nodes));
            Product(node, [left.Codes, right.Codes, left.ZeroPoint, right.ZeroPoint], left.Scale, right.Scale, "", nodes);
            context.Decide(choice, "int8 dynamic");
            return;
        }

        // In the main graph, where the branches of an If share it.
        var weight = choice.Weights[0];
        var (quantized, sqnr) = context.QuantizeForIntegers(weight);
        context.CorrectBias(graph, weight, quantized);
        var transposed = node.OpType == "Gemm" && node.Int("transB") != 0;
        var (rows, columns) = transposed ? (weight.Tensor.Dims[1], weight.Tensor.Dims[0]) : (weight.Tensor.Dims[0], weight.Tensor.Dims[1]);
        var (codes, scale) = context.AddWeight(context.Model.Graph, weight, quantized, [rows, columns], transposed ? Transpose(quantized.Values, (int)columns, (int)rows) : quantized.Values);

        var activation = Activation(node.Input[0], nodes);
        var bias = node.OpType == "Gemm" ? node.InputOrEmpty(2) : "";
        Product(node, [activation.Codes, codes, activation.ZeroPoint], activation.Scale, scale, bias, nodes);
        context.Decide(choice, "int8 dynamic", sqnr, weight.Count + quantized.Scales.Length * 4L);
    }

    private void Product(NodeProto node, string[] inputs, string leftScale, string rightScale, string bias, List<NodeProto> nodes)
    {
        string product = context.Fresh("p"), real = context.Fresh("f"), scales = context.Fresh("m");
        nodes.Add(GraphExtensions.Node("MatMulInteger", inputs, [product]));
        nodes.Add(GraphExtensions.Node("Cast", [product], [real]).Set("to", (long)DataType.Float));
        nodes.Add(GraphExtensions.Node("Mul", [leftScale, rightScale], [scales]));
        var result = bias.Length > 0 ? context.Fresh("y") : node.Output[0];
        nodes.Add(GraphExtensions.Node("Mul", [real, scales], [result], bias.Length > 0 ? "" : node.Name));
        if (bias.Length > 0)
            nodes.Add(GraphExtensions.Node("Add", [result, bias], [node.Output[0]], node.Name));
    }

    private (string Codes, string Scale, string ZeroPoint) Activation(string name, List<NodeProto> nodes)
    {
        if (_activations.TryGetValue(name, out var known))
            return known;
        var made = (context.Fresh("q"), context.Fresh("s"), context.Fresh("z"));
        nodes.Add(GraphExtensions.Node("DynamicQuantizeLinear", [name], [made.Item1, made.Item2, made.Item3]));
        return _activations[name] = made;
    }

    private static sbyte[] Transpose(sbyte[] values, int rows, int columns)
    {
        var result = new sbyte[values.Length];
        for (var r = 0; r < rows; r++)
        {
            for (var c = 0; c < columns; c++)
                result[c * rows + r] = values[r * columns + c];
        }

        return result;
    }
}
