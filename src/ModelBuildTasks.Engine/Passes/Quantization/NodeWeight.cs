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
    /// <summary>The graph of the node, see <see cref="GraphIndex.Number"/>.</summary>
    public int Graph { get; init; }

    /// <summary>The graph in which the weight is defined: <see cref="Graph"/> or one around it. Together with the name it says which weight it is.</summary>
    public int Home { get; init; }

    /// <summary>
    /// The node's constant float bias, an element an output channel, wherever it is defined; null where there is none, or where what is added to it is
    /// not added to the outputs.
    /// </summary>
    public TensorProto? Bias { get; init; }

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
        var weights = new List<NodeWeight>();
        foreach (var input in Inputs(node))
        {
            if (index.Constant(node.InputOrEmpty(input)) is { Dims.Count: >= 2 } tensor)
            {
                weights.Add(new NodeWeight(node, input, tensor, Axis(node, tensor.Dims))
                {
                    Graph = index.Number,
                    Home = index.Home(node.Input[input]),
                    Bias = BiasOf(node, index),
                });
            }
        }

        return weights;
    }

    // With alpha and beta of a Gemm different, the mean error of the product is not that of the bias.
    private static TensorProto? BiasOf(NodeProto node, GraphIndex index) =>
        node.OpType is "Conv" or "ConvTranspose" or "Gemm" && node.Float("alpha", 1) == node.Float("beta", 1)
        && index.Constant(node.InputOrEmpty(2)) is { Dims.Count: > 0 } bias && (DataType)bias.DataType == DataType.Float
        && bias.Dims.SkipLast(1).All(d => d == 1) ? bias : null;

    /// <summary>The inputs of a node that may be a weight.</summary>
    public static IReadOnlyList<int> Inputs(NodeProto node) => !node.IsStandard() ? [] : node.OpType switch
    {
        "Conv" or "ConvTranspose" or "MatMul" or "Gemm" => [1],
        "Gather" => [0],
        "LSTM" or "GRU" or "RNN" => [1, 2],
        _ => [],
    };

    /// <summary>Axis of a node's weight along which each index may have a scale of its own.</summary>
    public static int Axis(NodeProto node, IReadOnlyList<long> dims) => node.OpType switch
    {
        // [in, out/group, ...]: with groups an index of axis 1 belongs to several output channels, which is still exact. Where each
        // channel is a group of its own, axis 1 is a single index, and axis 0 the output channels.
        "ConvTranspose" => dims[1] == 1 && dims[0] == node.Int("group", 1) ? 0 : 1,
        "MatMul" or "MatMulInteger" => dims.Count - 1,
        "Gemm" => node.Int("transB") != 0 ? 0 : 1,
        // W and R: [directions, gates·hidden, ...].
        "LSTM" or "GRU" or "RNN" => 1,
        _ => 0,
    };
}
