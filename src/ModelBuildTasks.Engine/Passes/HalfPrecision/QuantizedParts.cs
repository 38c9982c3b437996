using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.HalfPrecision;

/// <summary>What an earlier quantization left in a graph, which float16 leaves alone.</summary>
internal static class QuantizedParts
{
    /// <summary>Whether the floats that a node reads are scales or tables of codes.</summary>
    /// <param name="scope">The graph of the constants.</param>
    /// <param name="node">Their reader, there or in a body.</param>
    public static bool IsParameter(Scope scope, NodeProto node)
    {
        if (IsQuantization(node))
            return true;
        // The scale of a bias is a product of two.
        if (node.Is("Mul") && scope.Readers(node.Output[0]).Any(r => IsQuantization(r.Node)))
            return true;
        // Codes are cast and scaled, cast and looked up, or rows of them are picked, cast and scaled.
        return node.IsStandard() && node.OpType is "Mul" or "Sub" or "Gather" && node.Input.Any(i => IsWidened(scope, i));
    }

    /// <summary>Whether a node turns floats to codes or codes to floats, or computes with codes.</summary>
    public static bool IsQuantization(NodeProto node) =>
        node.OpType.Contains("Quant", StringComparison.OrdinalIgnoreCase) || node.OpType.StartsWith("QLinear", StringComparison.Ordinal)
        || node.OpType is "MatMulNBits" or "QAttention" or "QGemm" || node.OpType.StartsWith("MatMulInteger", StringComparison.Ordinal) || node.OpType == "ConvInteger";

    private static bool IsWidened(Scope scope, string value)
    {
        var cast = Maker(scope, value);
        if (cast is null || !cast.Is("Cast"))
            return false;
        var source = Maker(scope, cast.Input[0]) is { } gather && gather.Is("Gather") ? gather.Input[0] : cast.Input[0];
        return scope.Graph.Initializer.FirstOrDefault(t => t.Name == source) is { } codes && !ElementTypes.IsFloat((TensorProto.Types.DataType)codes.DataType);
    }

    private static NodeProto? Maker(Scope scope, string value) => scope.Graph.Node.FirstOrDefault(n => n.Output.Contains(value));
}
