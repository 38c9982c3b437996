using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.HalfPrecision;

/// <summary>
/// What is known of operators in float16. Types are those of the operators' specification: every float input and output of an operator named here is
/// of one type, but for the exceptions below. An operator that stands nowhere stays float32.
/// </summary>
internal static class HalfOperators
{
    private static readonly HashSet<string> _heavy = ["Conv", "ConvTranspose", "MatMul", "Gemm", "Einsum", "LSTM", "GRU", "RNN"];

    private static readonly HashSet<string> _bounded =
    [
        "Softmax", "Hardmax", "Sigmoid", "HardSigmoid", "Tanh", "Erf", "Softsign", "Sign", "Sin", "Cos", "Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual",
        "ArgMax", "ArgMin", "IsNaN",
    ];

    /// <summary>Large or integer values stay so behind these.</summary>
    private static readonly HashSet<string> _carrying =
    [
        "Add", "Sub", "Mul", "Div", "Neg", "Abs", "Min", "Max", "Sum", "Mean", "Mod", "Floor", "Ceil", "Round", "Where", "Cast", "Relu", "LeakyRelu", "PRelu", "Clip",
        "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Transpose", "Expand", "Tile", "Slice", "Split", "Concat", "Gather", "GatherElements", "GatherND",
        "ScatterElements", "ScatterND", "Pad", "Trilu", "ReduceMax", "ReduceMin", "ReduceMean", "Pow", "Sqrt",
    ];

    private static readonly HashSet<string> _plain =
    [
        .. _heavy, .. _bounded, .. _carrying,
        "Elu", "Selu", "HardSwish", "Mish", "Gelu", "Softplus", "ThresholdedRelu", "LogSoftmax",
        "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "BatchNormalization", "InstanceNormalization", "LayerNormalization", "GroupNormalization", "LRN",
        "DepthToSpace", "SpaceToDepth", "Resize", "GridSample", "Dropout", "ConstantOfShape", "Compress", "ReverseSequence", "OneHot",
    ];

    private static readonly Dictionary<string, string> _unsafe = new()
    {
        ["Pow"] = "powers leave float16's range",
        ["Exp"] = "it leaves float16's range above 11",
        ["Log"] = "it turns what float16 rounds to zero into infinity",
        ["Reciprocal"] = "it turns what float16 rounds to zero into infinity",
        ["ReduceSum"] = "sums leave float16's range",
        ["ReduceSumSquare"] = "sums of squares leave float16's range",
        ["ReduceL1"] = "sums leave float16's range",
        ["ReduceL2"] = "sums of squares leave float16's range",
        ["ReduceLogSum"] = "sums leave float16's range",
        ["ReduceLogSumExp"] = "sums of exponentials leave float16's range",
        ["ReduceProd"] = "products leave float16's range",
        ["CumSum"] = "running sums lose single units above 2048",
        ["Range"] = "float16 has no single units above 2048",
        ["LpNormalization"] = "sums of squares leave float16's range",
        ["MeanVarianceNormalization"] = "sums of squares leave float16's range",
        ["TopK"] = "the order of nearly equal values would change",
        ["NonMaxSuppression"] = "boxes are float32 by its specification",
    };

    /// <summary>Whether most of a model's work is in such operators, so that they do not become float32 to save a Cast.</summary>
    public static bool IsHeavy(NodeProto node) => node.IsStandard() && _heavy.Contains(node.OpType);

    /// <summary>Whether an output is small whatever the inputs are.</summary>
    public static bool IsBounded(NodeProto node) => node.IsStandard() && _bounded.Contains(node.OpType);

    /// <summary>Whether large values or integers in an input are in the output as well.</summary>
    public static bool Carries(NodeProto node) => node.IsStandard() && _carrying.Contains(node.OpType);

    /// <summary>Whether an operator takes any type there: it needs no Cast.</summary>
    public static bool IsIndifferent(NodeProto node) => node.IsStandard() && node.OpType is "Cast" or "Shape" or "Size";

    /// <summary>Whether an input is float32 by the specification, or has a type of its own.</summary>
    public static bool IsAlwaysFloat(NodeProto node, int input) =>
        node.OpType == "Resize" && input is 1 or 2 || node.OpType == "OneHot" && input == 1 || node.OpType == "Dropout" && input == 1;

    /// <summary>Why an operator stays float32 whatever it computes on; null where it need not.</summary>
    public static string? Refusal(NodeProto node)
    {
        if (node.Bodies().Any())
            return "what goes in and out of If, Loop and Scan stays float32";
        if (!node.IsStandard())
            return $"nothing is known of {node.Domain}.{node.OpType} in float16";
        if (QuantizedParts.IsQuantization(node))
            return "it belongs to the quantized part";
        if (_unsafe.TryGetValue(node.OpType, out var reason))
            return reason;
        if (node.OpType == "Mul" && node.Input.Count == 2 && node.Input[0] == node.Input[1])
            return "squares leave float16's range";
        if (!_plain.Contains(node.OpType))
            return $"{node.OpType} has no float16 form that is known";
        return node.OpType is "LayerNormalization" or "BatchNormalization" && node.Output.Skip(1).Any(o => o.Length > 0) ? "its statistics are outputs" : null;
    }
}
