using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Quantization;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes;

/// <summary>The checks of a weight of integer arithmetic.</summary>
internal sealed class WeightConformance(OnnxModel model, RuntimePolicy policy)
{
    /// <summary>What is wrong with the weight of a node.</summary>
    /// <param name="node">The node.</param>
    /// <param name="input">Index of the weight among its inputs.</param>
    /// <param name="codes">The constant codes.</param>
    /// <param name="tensor">Their scales and zero points.</param>
    public IEnumerable<string> Check(NodeProto node, int input, TensorProto codes, QuantizedTensor tensor)
    {
        if ((DataType)codes.DataType != DataType.Int8)
        {
            yield return $"its weight is {ElementTypes.Name((DataType)codes.DataType)}, not int8";
            yield break;
        }

        if (tensor.ZeroPoints.Any(z => z != 0))
            yield return "the zero point of its weight is not 0";
        if (QuantizedTensor.Codes(model, codes).Contains(sbyte.MinValue))
            yield return "its weight has the code -128, which has no counterpart";
        var axis = NodeWeight.Axis(node, codes.Dims);
        if (tensor.Axis is not null && !policy.Formats.IsPerChannel(node.OpType))
            yield return $"its weight has a scale a channel; {policy.Name} wants one for the tensor in {node.OpType}";
        else if (tensor.Axis is { } given && (given < 0 ? given + codes.Dims.Count : given) != axis)
            yield return $"the scales of its weight are along axis {given}, not its output channels";
        if (policy.Formats.PairsSaturate && codes.Dims.Count >= 2)
        {
            var pairs = PairSaturation.LargestPairs([.. QuantizedTensor.Codes(model, codes).Select(c => (float)c)], new NodeWeight(node, input, codes, axis));
            if (pairs.Any(p => p > PairSaturation.GreatestSum))
                yield return $"sums of products of its weight exceed int16 in {pairs.Count(p => p > PairSaturation.GreatestSum)} of {pairs.Length} channels";
        }
    }
}
