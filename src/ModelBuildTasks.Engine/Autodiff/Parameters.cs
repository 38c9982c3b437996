using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Autodiff;

/// <summary>
/// Which constants of a model look like parameters that were trained, and not like tables, masks and numbers of formulas: those that stand where
/// an operator has its weight, bias or scale, and hold no number beyond what training gives.
/// </summary>
internal static class Parameters
{
    // Masks hold -1e4 and less, or infinity.
    private const float Largest = 1e4f;

    /// <summary>Names of float32 initializers of the main graph, in the graph's order.</summary>
    public static IReadOnlyList<string> Of(OnnxModel model)
    {
        var index = new GraphIndex(model, model.Graph);
        return
        [
            .. model.Graph.Initializer
                .Where(t => (DataType)t.DataType == DataType.Float && ElementTypes.Count(t.Dims) > 1 && IsRead(index, t, t.Name, 4) && model.ReadFloats(t).All(v => Math.Abs(v) < Largest))
                .Select(t => t.Name),
        ];
    }

    private static bool IsRead(GraphIndex index, TensorProto tensor, string name, int depth) =>
        index.Consumers(name).Any(n => Enumerable.Range(0, n.Input.Count).Any(i => n.Input[i] == name && IsSlot(index, n, i, tensor, depth)));

    private static bool IsSlot(GraphIndex index, NodeProto node, int input, TensorProto tensor, int depth) => node.IsStandard() && node.OpType switch
    {
        "Conv" or "ConvTranspose" => input is 1 or 2,
        "Gemm" or "MatMul" or "Einsum" or "Add" or "Sub" => true,
        "LSTM" or "GRU" or "RNN" => input is 1 or 2 or 3,
        "BatchNormalization" or "LayerNormalization" or "InstanceNormalization" or "GroupNormalization" or "RMSNormalization" => input is 1 or 2,
        "PRelu" => input == 1,
        "Gather" => input == 0 && tensor.Dims.Count > 1,
        // A gain has one value a channel; a table, such as that of rotary positions, has more axes.
        "Mul" or "Div" => tensor.Dims.Count(d => d > 1) == 1,
        "Identity" or "Transpose" or "Reshape" or "Squeeze" or "Unsqueeze" or "Cast" => input == 0 && depth > 0 && IsRead(index, tensor, node.Output[0], depth - 1),
        _ => false,
    };
}
