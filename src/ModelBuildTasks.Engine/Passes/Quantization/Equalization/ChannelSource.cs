using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.Quantization.Equalization;

/// <summary>A node whose output channels can be scaled by editing its constants alone.</summary>
/// <param name="Node">The node.</param>
/// <param name="Place">Where the channels lie in its first output.</param>
/// <param name="Channels">How many there are.</param>
/// <param name="Factors">Inputs that hold one factor or summand a channel; empty for a linear node, whose weight is scaled.</param>
internal sealed record ChannelSource(NodeProto Node, ChannelPlace Place, int Channels, IReadOnlyList<int> Factors)
{
    /// <summary>The value whose channels are scaled.</summary>
    public string Value => Node.Output[0];

    /// <summary>Whether it is a linear node.</summary>
    public bool IsLinear => Factors.Count == 0;

    /// <summary>All sources of the main graph in order.</summary>
    public static IEnumerable<ChannelSource> All(GraphIndex index)
    {
        foreach (var node in index.Graph.Node)
        {
            if (node.IsStandard() && node.Output.Count > 0 && node.Output.Skip(1).All(o => o.Length == 0) && Of(index, node) is { } source)
                yield return source;
        }
    }

    private static ChannelSource? Of(GraphIndex index, NodeProto node)
    {
        if (LinearLayer.Weight(index, node) is { } weight)
        {
            var place = node.OpType switch
            {
                "Conv" or "ConvTranspose" => new ChannelPlace(1, weight.Dims.Count),
                "Gemm" => new ChannelPlace(1, 2),
                _ => new ChannelPlace(-1, null),
            };
            return new(node, place, LinearLayer.OutputCount(node, weight), []);
        }

        return node.OpType switch
        {
            "LayerNormalization" when node.Int("axis", -1) == -1 => Affine(new ChannelPlace(-1, null), [1, 2]),
            "RMSNormalization" when node.Int("axis", -1) == -1 => Affine(new ChannelPlace(-1, null), [1]),
            "BatchNormalization" or "InstanceNormalization" => Affine(new ChannelPlace(1, null), [1, 2]),
            // The last step of a normalization that an exporter took apart.
            "Mul" when index.Constant(node.Input[1]) is { } and not null && index.Constant(node.Input[0]) is null => Affine(new ChannelPlace(-1, null), [1]),
            "Mul" when index.Constant(node.Input[0]) is { } and not null && index.Constant(node.Input[1]) is null => Affine(new ChannelPlace(-1, null), [0]),
            _ => null,
        };

        ChannelSource? Affine(ChannelPlace place, int[] inputs)
        {
            int[] present = [.. inputs.Where(i => node.InputOrEmpty(i).Length > 0)];
            var channels = index.Constant(node.InputOrEmpty(inputs[0])) is { Dims: [var count] } && count > 1 ? count : 0;
            return channels > 0 && present.All(i => index.Constant(node.Input[i]) is { Dims: [var c], HasPayloadRef: true } t
                && c == channels && t.DataType == (int)TensorProto.Types.DataType.Float)
                ? new(node, place, (int)channels, present) : null;
        }
    }
}
