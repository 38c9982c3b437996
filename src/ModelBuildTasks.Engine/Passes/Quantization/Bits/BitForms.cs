using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.Quantization.Bits;

/// <summary>Which form a weight of few bits gets: the first that the runtime has and is fast at.</summary>
/// <param name="forms">The runtime's forms.</param>
/// <param name="opset">The operator set that the model will have.</param>
internal sealed class BitForms(IReadOnlyList<BitsForm> forms, long opset)
{
    /// <summary>The form of a weight.</summary>
    /// <param name="weight">The weight.</param>
    /// <param name="bits">Bits of a code.</param>
    /// <param name="group">Columns that share a scale.</param>
    public BitsForm Of(NodeWeight weight, int bits, int group)
    {
        // Where the constants of a body are is not known to what fuses them. Blocks of 4 and 8 bits came with operator set 21, 2-bit types with 25.
        if (weight.Graph != 0 || opset < (bits == 2 ? 25 : 21))
            return BitsForm.Stored;
        if (forms.Contains(BitsForm.Blocked) && CanBlock(weight, bits, group))
            return BitsForm.Blocked;
        return forms.Contains(BitsForm.Gather) && CanGather(weight.Node, bits, group) ? BitsForm.Gather : BitsForm.Stored;
    }

    /// <summary>Columns that share a scale where so many are asked for. What is unpacked by a Reshape needs groups of one length.</summary>
    /// <param name="weight">The weight.</param>
    /// <param name="layout">Its rows.</param>
    /// <param name="bits">Bits of a code.</param>
    /// <param name="group">What is asked for; 0 for all columns.</param>
    public int Group(NodeWeight weight, RowLayout layout, int bits, int group)
    {
        var length = group <= 0 || group > layout.Columns ? layout.Columns : group;
        return Of(weight, bits, length) != BitsForm.Stored ? length : Divisor(layout.Columns, group);
    }

    /// <summary>The divisor nearest to a group's length, by ratio, at most twice it; all columns where there is none of half its length or more.</summary>
    public static int Divisor(int columns, int group)
    {
        if (group <= 0 || group >= columns)
            return columns;
        var best = 0;
        for (var d = Math.Max(1, group / 2); d <= Math.Min(columns, 2 * group); d++)
        {
            if (columns % d == 0 && (best == 0 || Math.Abs(Math.Log((double)d / group)) < Math.Abs(Math.Log((double)best / group))))
                best = d;
        }

        return best == 0 ? columns : best;
    }

    /// <summary>
    /// Whether a weight can be an input of a blocked DequantizeLinear that ONNX Runtime 1.31 fuses with a MatMul into a MatMulNBits of accuracy
    /// level 4. Larger blocks are not fused and decoded at every run; 2 bits in blocks of 16 and 256 are fused into a kernel that is slower than float.
    /// For 2 bits and a number of columns that is no multiple of 4 the fused kernel answers wrongly (measured with AVX-512, any rows and block).
    /// </summary>
    private static bool CanBlock(NodeWeight weight, int bits, int group) => weight.Node is var node
        && (bits is 4 or 8 ? group is 16 or 32 or 64 or 128 or 256 : bits == 2 && group is 32 or 64 or 128 && weight.Channels % 4 == 0)
        && (node.OpType == "MatMul" || node.OpType == "Gemm" && node.Int("transA") == 0 && node.Float("alpha", 1) == 1 && (node.InputOrEmpty(2).Length == 0 || node.Float("beta", 1) == 1));

    private static bool CanGather(NodeProto node, int bits, int group) => node.OpType == "Gather" && node.Int("axis") == 0 && bits == 4 && group >= 16 && int.IsPow2(group);
}
