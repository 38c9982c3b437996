using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.CleanupSteps;

/// <summary>
/// The operators that constant folding computes, each with the size of its result, known before it runs: a file of a
/// few bytes can ask for a result of any size. Operators that are not here are left: those of random numbers, control flow,
/// sequences and strings, those whose result has no sure size, and QuantizeLinear and DequantizeLinear, whose inputs are the
/// compressed form.
/// </summary>
internal static class FoldableOperators
{
    private static readonly HashSet<string> _broadcast =
    [
        "Add", "Sub", "Mul", "Div", "Pow", "Mod", "Min", "Max", "Sum", "Mean", "And", "Or", "Xor", "Equal", "Less", "LessOrEqual", "Greater",
        "GreaterOrEqual", "Where", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "PRelu",
    ];

    private static readonly HashSet<string> _sameSize =
    [
        "Neg", "Abs", "Sqrt", "Exp", "Log", "Reciprocal", "Floor", "Ceil", "Round", "Sign", "Not", "BitwiseNot", "Erf", "Relu", "Sigmoid", "Tanh", "Sin",
        "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Clip", "Cast", "CastLike", "Softmax", "LogSoftmax", "Softplus", "Softsign", "LeakyRelu",
        "Elu", "Selu", "Gelu", "HardSigmoid", "HardSwish", "IsNaN", "IsInf", "CumSum", "Trilu", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose",
        "ScatterND", "ScatterElements", "EyeLike",
    ];

    private static readonly HashSet<string> _notLarger =
    [
        "Slice", "Split", "Compress", "ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare",
        "ReduceLogSum", "ReduceLogSumExp", "ArgMax", "ArgMin",
    ];

    private static readonly HashSet<string> _boolean =
        ["And", "Or", "Xor", "Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Not", "IsNaN", "IsInf"];

    /// <summary>Whether folding knows the operator at all.</summary>
    public static bool Knows(NodeProto node) => node.IsStandard() && (_broadcast.Contains(node.OpType) || _sameSize.Contains(node.OpType) || _notLarger.Contains(node.OpType)
        || node.OpType is "Shape" or "Size" or "NonZero" or "Concat" or "ConstantOfShape" or "Expand" or "Tile" or "Range" or "OneHot" or "Pad" or "Gather"
            or "GatherElements" or "GatherND" or "MatMul" or "Gemm");

    /// <summary>
    /// The most elements that all results of a node together can have. <paramref name="inputs"/> has null for omitted inputs.
    /// Null where the size is not known, or the node could bring the process down.
    /// </summary>
    /// <exception cref="OverflowException">More than 2^63 elements.</exception>
    public static long? Elements(NodeProto node, IReadOnlyList<Known?> inputs)
    {
        var op = node.OpType;
        var first = inputs.Count > 0 ? inputs[0] : null;
        if (_broadcast.Contains(op))
            return IsUnsafeDivision(node, inputs) ? null : Broadcast(inputs.OfType<Known>().Select(t => t.Dims.ToArray()));
        if (op == "Concat")
            return inputs.Aggregate(0L, (sum, t) => checked(sum + Count(t)));
        if (op == "ConstantOfShape")
            return Longs(first) is { } shape ? ElementTypes.Count(shape) : null;
        if (op == "Range")
            return RangeLength(inputs);
        if (first is null)
            return null;
        if (_sameSize.Contains(op) || _notLarger.Contains(op))
            return Count(first);
        var rank = first.Dims.Count;
        switch (op)
        {
            case "Shape": return rank;
            case "Size": return 1;
            case "NonZero": return checked(Count(first) * Math.Max(rank, 1));
            case "Expand": return Longs(At(inputs, 1)) is { } to ? Broadcast([[.. first.Dims], to]) : null;
            case "Tile": return Longs(At(inputs, 1)) is { } repeats && repeats.Length == rank ? ElementTypes.Count(first.Dims.Zip(repeats, (d, r) => checked(d * r))) : null;
            case "OneHot": return Longs(At(inputs, 1)) is [var depth] ? checked(Count(first) * depth) : null;
            case "Pad": return Padded(node, inputs);
            case "Gather":
                var axis = (int)node.Int("axis");
                axis = axis < 0 ? axis + rank : axis;
                return axis >= 0 && axis < rank && first.Dims[axis] > 0 ? checked(Count(first) / first.Dims[axis] * Count(At(inputs, 1))) : null;
            case "GatherElements": return Count(At(inputs, 1));
            case "GatherND": return At(inputs, 1) is { Dims.Count: > 0 } indices && indices.Dims[^1] > 0 ? checked(Count(indices) / indices.Dims[^1] * Count(first)) : null;
            case "MatMul" or "Gemm": return Product(node, first, At(inputs, 1));
            default: return null;
        }
    }

    /// <summary>The element type of a node's results.</summary>
    public static DataType ResultType(NodeProto node, IReadOnlyList<Known?> inputs)
    {
        var op = node.OpType;
        if (_boolean.Contains(op))
            return DataType.Bool;
        if (op is "Cast" or "EyeLike" && node.Attribute(op == "Cast" ? "to" : "dtype") is { } to)
            return (DataType)to.I;
        if (op is "Shape" or "Size" or "NonZero" or "ArgMax" or "ArgMin")
            return DataType.Int64;
        if (op == "ConstantOfShape")
            return node.Attribute("value")?.T is { } value ? (DataType)value.DataType : DataType.Float;
        var source = At(inputs, op switch { "Where" or "CastLike" => 1, "OneHot" => 2, _ => 0 });
        return source?.Type ?? DataType.Undefined;
    }

    // ONNX Runtime's integer division by zero, and of the least integer by -1, ends the process.
    private static bool IsUnsafeDivision(NodeProto node, IReadOnlyList<Known?> inputs) =>
        node.OpType is "Div" or "Mod" && At(inputs, 1) is { } divisor && !ElementTypes.IsFloat(divisor.Type) && divisor.Integers().Any(v => v is 0 or -1);

    private static long? RangeLength(IReadOnlyList<Known?> inputs)
    {
        var values = new double[3];
        for (var i = 0; i < 3; i++)
        {
            if (At(inputs, i) is not { } tensor || Count(tensor) != 1)
                return null;
            values[i] = ElementTypes.IsFloat(tensor.Type) ? tensor.Floats()[0] : tensor.Integers()[0];
        }

        var length = Math.Ceiling((values[1] - values[0]) / values[2]);
        return double.IsFinite(length) ? checked((long)Math.Max(length, 0) + 1) : null;
    }

    private static long? Padded(NodeProto node, IReadOnlyList<Known?> inputs)
    {
        var dims = inputs[0]!.Dims;
        var pads = node.Ints("pads") ?? Longs(At(inputs, 1));
        if (pads is null || At(inputs, 3) is not null || pads.Length != 2 * dims.Count)
            return null;
        return ElementTypes.Count(dims.Select((d, i) => checked(d + Math.Max(pads[i], 0) + Math.Max(pads[i + dims.Count], 0))));
    }

    private static long? Product(NodeProto node, Known a, Known? b)
    {
        // One multiplication a value of the result and of the inner axis: bounded, so that a build does not hang.
        const long MostMultiplications = 1L << 31;
        if (b is null || a.Dims.Count == 0 || b.Dims.Count == 0)
            return null;
        var inner = node.OpType == "Gemm" && node.Int("transA") != 0 ? a.Dims[0] : a.Dims[^1];
        if (inner <= 0)
            return null;
        var elements = checked(Count(a) / inner * (Count(b) / inner));
        return checked(elements * inner) <= MostMultiplications ? elements : null;
    }

    private static long Broadcast(IEnumerable<long[]> shapes)
    {
        var result = new List<long>();
        foreach (var shape in shapes)
        {
            for (var i = 1; i <= shape.Length; i++)
            {
                if (result.Count < i)
                    result.Add(1);
                // An empty axis wins over 1; shapes that do not fit are refused by the run.
                result[i - 1] = shape[^i] == 0 || result[i - 1] == 0 ? 0 : Math.Max(result[i - 1], shape[^i]);
            }
        }

        return ElementTypes.Count(result);
    }

    private static long[]? Longs(Known? tensor) =>
        tensor is not null && !ElementTypes.IsFloat(tensor.Type) && Count(tensor) <= 64 ? tensor.Integers() : null;

    private static Known? At(IReadOnlyList<Known?> inputs, int index) => index < inputs.Count ? inputs[index] : null;

    private static long Count(Known? tensor) => tensor?.Count ?? 0;
}
