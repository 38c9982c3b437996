using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.Quantization;

/// <summary>A constant weight of a node: where it is, and which of its axes are output channels.</summary>
/// <param name="Node">The node that reads it.</param>
/// <param name="Input">Index of the weight among the node's inputs.</param>
/// <param name="Tensor">The constant tensor.</param>
/// <param name="ChannelAxis">Axis of the weight along which each index may have a scale of its own.</param>
internal sealed record NodeWeight(NodeProto Node, int Input, TensorProto Tensor, int ChannelAxis)
{
    /// <summary>Element type.</summary>
    public DataType Type => (DataType)Tensor.DataType;

    /// <summary>Elements of the weight.</summary>
    public long Count => ElementTypes.Count(Tensor.Dims);

    /// <summary>Length of the channel axis.</summary>
    public long Channels => Tensor.Dims[ChannelAxis];

    /// <summary>Product of the dimensions before the channel axis.</summary>
    public long Outer => ElementTypes.Count(Tensor.Dims.Take(ChannelAxis));

    /// <summary>Product of the dimensions behind the channel axis.</summary>
    public long Inner => ElementTypes.Count(Tensor.Dims.Skip(ChannelAxis + 1));

    /// <summary>Bytes of the weight as it is.</summary>
    public long Bytes => ElementTypes.ByteLength(Type, Count);

    /// <summary>The constant weights of a node: none, one, or for recurrent operators two.</summary>
    public static IReadOnlyList<NodeWeight> Of(NodeProto node, GraphIndex index)
    {
        if (!node.IsStandard())
            return [];
        return node.OpType switch
        {
            "Conv" => At([1], _ => 0),
            // [in, out/group, ...]: with groups an index of axis 1 belongs to several output channels, which is still exact.
            "ConvTranspose" => At([1], _ => 1),
            "MatMul" => At([1], rank => rank - 1),
            "Gemm" => At([1], _ => node.Int("transB") != 0 ? 0 : 1),
            "Gather" => At([0], _ => 0),
            // W and R: [directions, gates·hidden, ...].
            "LSTM" or "GRU" or "RNN" => At([1, 2], _ => 1),
            _ => [],
        };

        List<NodeWeight> At(int[] inputs, Func<int, int> axis)
        {
            var weights = new List<NodeWeight>();
            foreach (var input in inputs)
            {
                if (index.Constant(node.InputOrEmpty(input)) is { Dims.Count: >= 2 } tensor)
                    weights.Add(new NodeWeight(node, input, tensor, axis(tensor.Dims.Count)));
            }

            return weights;
        }
    }
}
