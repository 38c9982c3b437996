using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Quantization;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes;

/// <summary>The checks of one graph.</summary>
internal sealed class GraphConformance(OnnxModel model, GraphIndex index, RuntimePolicy policy)
{
    // Operators that take codes, besides those that the forms are made of.
    private static readonly HashSet<string> CodeOperators = ["QLinearConv", "QLinearMatMul", "ConvInteger"];

    private readonly WeightConformance _weights = new(model, policy);

    /// <summary>What is wrong with a node.</summary>
    public IEnumerable<string> Check(NodeProto node)
    {
        if (node.Domain == "com.microsoft" && IsQuantized(node.OpType) && !policy.Formats.Contrib.Contains(node.OpType))
            return [$"{policy.Name} has no com.microsoft.{node.OpType}"];
        if (IsFewBits(node))
            return FewBits(node);
        if (node.OpType is "QuantizeLinear" or "DequantizeLinear")
            return Pair(node);
        if (!node.IsStandard())
            return [];
        if (CodeOperators.Contains(node.OpType))
            return [$"{node.OpType} is no form of any policy; quantize/dequantize pairs are"];
        return node.OpType switch
        {
            "DynamicQuantizeLinear" when !FindsRanges => [$"{policy.Name} finds no ranges at run time"],
            "MatMulInteger" => Dynamic(node),
            "Cast" => Stored(node),
            _ => Static(node).Concat(Scales(node)),
        };
    }

    private bool FindsRanges => policy.Products.Contains(QuantizedForm.Dynamic) || policy.Operators.Values.Any(o => o.Forms.Contains(QuantizedForm.Dynamic));

    /// <summary>Whether an operator of com.microsoft takes or makes codes; the others are fusions of float operators.</summary>
    private static bool IsQuantized(string opType) =>
        opType.StartsWith('Q') || opType.Contains("Quant", StringComparison.Ordinal) || opType == "DequantizeLinear"
        || opType.StartsWith("MatMulInteger", StringComparison.Ordinal) || opType == "MatMulNBits";

    /// <summary>Whether a node decodes constant codes of 2 or 4 bits.</summary>
    private bool IsFewBits(NodeProto node) => node.OpType == "DequantizeLinear" && Stored(node.InputOrEmpty(0)) is { } codes && ElementTypes.Bits((DataType)codes.DataType) < 8;

    /// <summary>The constant behind a value that is at most cast or turned around when the model is loaded.</summary>
    private TensorProto? Stored(string value) =>
        index.Constant(value) ?? (index.Producer(value) is { OpType: "Cast" or "Transpose" } turned && turned.IsStandard() ? Stored(turned.Input[0]) : null);

    private IEnumerable<string> FewBits(NodeProto node)
    {
        var bits = ElementTypes.Bits((DataType)Stored(node.Input[0])!.DataType);
        if (!policy.Bits.Contains(BitsForm.Blocked))
            yield return $"{policy.Name} has no weights of {bits} bits";
        if (model.Opset < (bits == 2 ? 25 : 21))
            yield return $"{bits}-bit codes need operator set {(bits == 2 ? 25 : 21)}, not {model.Opset}";
        if (Stored(node.InputOrEmpty(1)) is null)
            yield return "its scale is not constant";
    }

    private IEnumerable<string> Pair(NodeProto node)
    {
        if (QuantizedTensor.Of(model, index, node) is not { } tensor)
        {
            yield return "its scale is not constant";
            yield break;
        }

        if (tensor.Axis is not null && model.Opset < 13)
            yield return $"a scale a channel needs operator set 13, not {model.Opset}";
        if (ElementTypes.Bits(tensor.Type) == 16 && node.IsStandard() && model.Opset < 21)
            yield return $"{ElementTypes.Name(tensor.Type)} needs operator set 21, not {model.Opset}";
        // Constants are checked with the node that reads them.
        if (node.OpType == "DequantizeLinear" && index.Constant(node.Input[0]) is not null && IsWeightOrBias(node))
            yield break;
        if (policy.Formats.Activations.FirstOrDefault(f => f.Type == tensor.Type) is not { } format)
            yield return $"activations are {ElementTypes.Name(tensor.Type)}; {policy.Name} has {string.Join(", ", policy.Formats.Activations.Select(f => ElementTypes.Name(f.Type)))}";
        else if (format.Symmetric && tensor.ZeroPoints.Any(z => z != 0))
            yield return $"its zero point is {tensor.ZeroPoints[0]}; activations of {policy.Name} are symmetric";
        if (tensor.Scales.Length != 1)
            yield return "an activation has one scale";
    }

    private bool IsWeightOrBias(NodeProto node) => index.Consumers(node.Output[0]).All(reader =>
        NodeWeight.Inputs(reader).Any(i => reader.InputOrEmpty(i) == node.Output[0]) || reader.InputOrEmpty(2) == node.Output[0]);

    /// <summary>A weighted node whose weight is dequantized from a constant.</summary>
    private IEnumerable<string> Static(NodeProto node)
    {
        foreach (var input in NodeWeight.Inputs(node))
        {
            if (Dequantized(node.InputOrEmpty(input)) is not { } weight || IsFewBits(weight) || index.Constant(weight.Input[0]) is not { } codes)
                continue;
            if (!Forms(node.OpType).Contains(QuantizedForm.Static))
                yield return $"{policy.Name} has no {node.OpType} with calibrated activations";
            if (Activation(node.Input[0]) is not { } data)
                yield return "its weight is quantized and its input is not";
            else if (QuantizedTensor.Of(model, index, weight) is { } tensor)
            {
                foreach (var what in _weights.Check(node, input, codes, tensor).Concat(Bias(node, data, tensor)))
                    yield return what;
            }
        }
    }

    private IEnumerable<string> Bias(NodeProto node, QuantizedTensor data, QuantizedTensor weight)
    {
        if (node.OpType is not ("Conv" or "Gemm") || node.InputOrEmpty(2).Length == 0)
            yield break;
        var dequantize = Dequantized(node.Input[2]);
        if (!policy.Formats.QuantizedBias)
        {
            if (dequantize is not null)
                yield return $"its bias is quantized; biases of {policy.Name} are float";
            yield break;
        }

        if (dequantize is null || QuantizedTensor.Of(model, index, dequantize) is not { } bias)
            yield return $"its bias is float; biases of {policy.Name} are int32";
        else if (bias.Type != DataType.Int32 || bias.ZeroPoints.Any(z => z != 0))
            yield return "its bias is not int32 with zero point 0";
        else if (bias.Scales.Where((s, c) => Math.Abs(s / (data.Scales[0] * weight.Scales[weight.Scales.Length == 1 ? 0 : c]) - 1) > 1e-5).Any())
            yield return "the scale of its bias is not the product of the scales of input and weight";
    }

    private IEnumerable<string> Dynamic(NodeProto node)
    {
        if (!FindsRanges)
            yield return $"{policy.Name} has no products with ranges found at run time";
        if (index.Constant(node.InputOrEmpty(1)) is not { } codes)
        {
            if (!policy.Products.Contains(QuantizedForm.Dynamic))
                yield return $"{policy.Name} has no products of two activations with ranges found at run time";
            yield break;
        }

        var zeroPoint = index.Constant(node.InputOrEmpty(3));
        var tensor = new QuantizedTensor((DataType)codes.DataType, [1], zeroPoint is null ? [0] : QuantizedTensor.Codes(model, zeroPoint), null);
        foreach (var what in _weights.Check(node, 1, codes, tensor))
            yield return what;
    }

    /// <summary>Codes that are widened to float: a weight in 8 bits with float arithmetic, or rows that a Gather picked.</summary>
    private IEnumerable<string> Stored(NodeProto node)
    {
        var gather = index.Producer(node.Input[0]) is { OpType: "Gather" } g ? g : null;
        if (index.Constant(gather?.Input[0] ?? node.Input[0]) is not { } codes || ElementTypes.Bits((DataType)codes.DataType) != 8 || index.Consumers(node.Output[0]) is not [{ OpType: "Mul" } scaled])
            return [];
        if (gather is not null)
            return Forms("Gather").Contains(QuantizedForm.Weights) ? [] : [$"{policy.Name} has no Gather from 8-bit tables"];
        return index.Consumers(scaled.Output[0])
            .Where(reader => NodeWeight.Inputs(reader).Any(i => reader.InputOrEmpty(i) == scaled.Output[0]) && !Forms(reader.OpType).Contains(QuantizedForm.Weights))
            .Select(reader => $"{policy.Name} has no {reader.OpType} with 8-bit weights and float arithmetic");
    }

    /// <summary>Scales that the operator ties together or fixes.</summary>
    private IEnumerable<string> Scales(NodeProto node)
    {
        var role = StaticGraph.RoleOf(node, policy);
        if (role is not (OperatorRole.Movement or OperatorRole.Arithmetic))
            yield break;
        var inputs = StaticGraph.DataInputs(node, index).Select(i => Activation(node.InputOrEmpty(i))).ToList();
        var outputs = node.Output.Select(Quantized).OfType<QuantizedTensor>().ToList();
        if (inputs.Count == 0 || inputs.Contains(null) || outputs.Count == 0)
            yield break;
        if ((role == OperatorRole.Movement || policy.Formats.OneScale.Contains(node.OpType)) && outputs.Any(o => inputs.Any(i => !i!.IsLike(o))))
            yield return $"{node.OpType} wants one scale and zero point for its inputs and outputs";
        if (!policy.Formats.FixedRanges.TryGetValue(node.OpType, out var ends) || policy.Formats.Activations.FirstOrDefault(f => f.Type == outputs[0].Type) is not { } format)
            yield break;
        var wanted = AffineQuantizer.FixedParameters(new(ends.Min, ends.Max), format);
        if (outputs.Any(o => o.Scales[0] != wanted.Scale || o.ZeroPoints[0] != wanted.ZeroPoint))
            yield return $"its output wants scale {wanted.Scale} and zero point {wanted.ZeroPoint}";
    }

    private IReadOnlyList<QuantizedForm> Forms(string opType) => policy.Operators.TryGetValue(opType, out var known) ? known.Forms : [];

    private NodeProto? Dequantized(string name) => index.Producer(name) is { OpType: "DequantizeLinear" } node ? node : null;

    /// <summary>The parameters of a computed value that is read behind its dequantization, or null.</summary>
    private QuantizedTensor? Activation(string name) =>
        Dequantized(name) is { } node && index.Constant(node.Input[0]) is null ? QuantizedTensor.Of(model, index, node) : null;

    /// <summary>The parameters of a value that is quantized as soon as it is made, or null.</summary>
    private QuantizedTensor? Quantized(string name) =>
        index.Consumers(name) is [{ OpType: "QuantizeLinear" } node] && !index.IsOutput(name) ? QuantizedTensor.Of(model, index, node) : null;
}
