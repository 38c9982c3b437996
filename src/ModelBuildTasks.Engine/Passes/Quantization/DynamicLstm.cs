using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.Quantization;

/// <summary>
/// An LSTM with 8-bit weights whose input and hidden state get scale and zero point at run time: ONNX Runtime's com.microsoft
/// DynamicQuantizeLSTM. It takes the weights transposed, [directions, input or hidden, 4·hidden], with a scale for each direction and gate row.
/// </summary>
internal static class DynamicLstm
{
    private const string Domain = "com.microsoft";

    /// <summary>Why a node cannot have this form, or null when it can.</summary>
    public static string? Refusal(NodeProto node, IReadOnlyList<NodeWeight> weights, bool pairsSaturate)
    {
        if (weights.Count != 2 || weights.Any(w => w.Tensor.Dims.Count != 3))
            return "its weights are not both constant";
        if (node.Int("layout") != 0)
            return "its values are laid out with the batch first, which the dynamic kernel does not take";
        return pairsSaturate ? "its kernel may add products in int16 with saturation" : null;
    }

    /// <summary>Adds the codes and makes the node.</summary>
    /// <param name="context">The model being edited.</param>
    /// <param name="graph">Where the codes go: the graph of the node or one around it. Nodes that read one weight share them.</param>
    /// <param name="node">The LSTM.</param>
    /// <param name="weights">W and R in this order, each with its codes.</param>
    public static NodeProto Make(RewriteContext context, GraphProto graph, NodeProto node, IReadOnlyList<(NodeWeight Weight, QuantizedWeight Quantized)> weights)
    {
        if (!context.Model.Proto.OpsetImport.Any(o => o.Domain == Domain))
            context.Model.Proto.OpsetImport.Add(new OperatorSetIdProto { Domain = Domain, Version = 1 });
        var made = node.Clone();
        made.OpType = "DynamicQuantizeLSTM";
        made.Domain = Domain;
        made.RemoveAttribute("layout");
        while (made.Input.Count < 12)
            made.Input.Add("");
        foreach (var (i, (weight, quantized)) in weights.Index())
        {
            var (directions, rows, columns) = ((int)weight.Tensor.Dims[0], (int)weight.Tensor.Dims[1], (int)weight.Tensor.Dims[2]);
            var codes = new sbyte[quantized.Values.Length];
            for (var d = 0; d < directions; d++)
            {
                for (var r = 0; r < rows; r++)
                {
                    for (var c = 0; c < columns; c++)
                        codes[(d * columns + c) * rows + r] = quantized.Values[(d * rows + r) * columns + c];
                }
            }

            // One scale a gate row counts for all directions.
            var scales = Enumerable.Range(0, directions).SelectMany(_ => quantized.Scales.Length == 1 ? Enumerable.Repeat(quantized.Scales[0], rows) : quantized.Scales).ToArray();
            var count = scales.Length;
            var key = $"lstm {weight.Home} {node.Input[weight.Input]}";
            made.Input[1 + i] = context.Shared<sbyte>(graph, $"w {key}", "w", DataType.Int8, [directions, columns, rows], codes);
            made.Input[8 + 2 * i] = context.Shared<float>(graph, $"sw {key}", "sw", DataType.Float, [directions, rows], scales);
            made.Input[9 + 2 * i] = context.Shared<sbyte>(graph, $"zw{directions}x{rows}", "zw", DataType.Int8, [directions, rows], new sbyte[count]);
        }

        return made;
    }
}
