using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Pruning.Structured.Labels;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured.Rules;

/// <summary>Operators that compute each element from those in the same place of their inputs.</summary>
internal static class ElementwiseRules
{
    private const string Meets = "what meets it element by element cannot shrink";

    // Whether zero stays zero.
    private static readonly HashSet<string> ZeroKeeping =
    [
        "Relu", "LeakyRelu", "ThresholdedRelu", "Elu", "Selu", "Celu", "Gelu", "HardSwish", "Mish", "Abs", "Neg", "Sqrt", "Sin", "Tan", "Sinh", "Tanh", "Asin", "Atan", "Asinh", "Atanh", "Erf",
        "Sign", "Floor", "Ceil", "Round", "Softsign", "Cast", "Dropout", "Shrink", "Swish",
    ];

    private static readonly HashSet<string> Unary =
        [.. ZeroKeeping, "Sigmoid", "HardSigmoid", "Exp", "Log", "Reciprocal", "Cos", "Cosh", "Acos", "Acosh", "Softplus", "Not", "IsNaN", "IsInf", "BitwiseNot", "Clip"];

    private static readonly HashSet<string> Several =
    [
        "Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Mean", "Sum", "Mod", "PRelu", "Where", "And", "Or", "Xor", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "BitShift", "BitwiseAnd",
        "BitwiseOr", "BitwiseXor",
    ];

    public static bool Apply(Visit visit)
    {
        var node = visit.Node;
        if (Unary.Contains(node.OpType))
        {
            // Limits and ratios are scalars.
            var layout = visit.Layout(0);
            for (var i = 0; i < Math.Min(node.Output.Count, 2); i++)
                visit.Set(i, layout, visit.IsZero(0) && (ZeroKeeping.Contains(node.OpType) || (node.OpType == "Clip" && ClipsAroundZero(visit))));
            return true;
        }

        if (!Several.Contains(node.OpType) || node.Attribute("axis") is not null)
            return false;
        var inputs = Enumerable.Range(0, node.Input.Count).ToList();
        Residual(visit, inputs);
        var output = Broadcast(visit, [.. inputs.Select(visit.Layout)]);
        visit.Set(0, output, KeepsZero(visit, inputs));
        return true;
    }

    /// <summary>Ties the axes of values that are broadcast against each other.</summary>
    public static Layout Broadcast(Visit visit, IReadOnlyList<Layout> operands)
    {
        var rank = operands.Max(o => o.Rank);
        // All of one rank from here on.
        operands = [.. operands.Select(o => new Layout([.. Enumerable.Repeat<IReadOnlyList<Atom>>([], rank - o.Rank), .. o.Axes]))];
        if (operands.Any(o => o.IsJoint) && !JointsAgree(operands))
            operands = [.. operands.Select(o => visit.Separate(o, axis => operands.Count(other => other.Axes[axis].Count > 0) == 1 ? 1 : 0))];
        return new Layout([.. Enumerable.Range(0, rank).Select(axis => Axis(visit, [.. operands.Where(o => o.Axes[axis].Count > 0)], axis))]);
    }

    private static IReadOnlyList<Atom> Axis(Visit visit, IReadOnlyList<Layout> operands, int axis)
    {
        if (operands.Count == 0)
            return [];
        var first = operands[0].Axes[axis];
        if (operands.Count == 1)
            return first;
        if (operands.All(o => Matches(o.Axes[axis], first)))
        {
            foreach (var (a, b) in operands.Skip(1).SelectMany(o => o.Axes[axis].Zip(first)).Where(p => p.First.Block is not null))
                visit.Union(a.Block!.Cells, b.Block!.Cells, Meets);
            return (operands.FirstOrDefault(o => o.Length(axis) >= 0) ?? operands[0]).Axes[axis];
        }

        foreach (var other in operands.Skip(1))
            visit.Tie(operands[0], axis, other, axis, Meets);
        var (known, cells) = (operands.FirstOrDefault(o => o.Length(axis) >= 0) ?? operands[0], operands.Select(o => visit.CellsOf(o, axis)).FirstOrDefault(c => c is not null));
        // The lengths may differ after all where one of them is unknown and turns out to be 1.
        return cells is not null && cells.Length == known.Length(axis) ? [Atom.Of(Block.Of(cells))] : [Atom.Opaque(known.Length(axis))];
    }

    private static bool Matches(IReadOnlyList<Atom> first, IReadOnlyList<Atom> second) =>
        first.Count == second.Count && first.Zip(second).All(p => p.First.Block is null && p.Second.Block is null
            ? first.Count == 1 || ReferenceEquals(p.First, p.Second)
            : p.First.Size == p.Second.Size && p.First.Block is not null && p.Second.Block is not null && p.First.Part == p.Second.Part && p.First.Block.Sizes.SequenceEqual(p.Second.Block.Sizes));

    /// <summary>Whether split axes can stay as they are: all other operands have them, too, or length 1 there.</summary>
    private static bool JointsAgree(IReadOnlyList<Layout> operands)
    {
        var joint = operands.First(o => o.IsJoint);
        foreach (var axis in Enumerable.Range(0, joint.Rank).Where(a => joint.Axes[a].Any(t => t.Block is { IsJoint: true })))
        {
            if (operands.Any(o => o.Axes[axis].Count > 0 && !Matches(o.Axes[axis], joint.Axes[axis])))
                return false;
        }

        // An operand that has one of the parts has to have them all.
        return operands.All(o => !o.IsJoint || o.Blocks.Where(b => b.IsJoint).All(b => Enumerable.Range(0, o.Rank).Sum(a => o.Axes[a].Count(t => ReferenceEquals(t.Block, b))) == b.Sizes.Length));
    }

    /// <summary>Channels that an addition of two computed values ties are those of a residual stream.</summary>
    private static void Residual(Visit visit, IReadOnlyList<int> inputs)
    {
        var node = visit.Node;
        if (node.OpType is "Add" or "Sub" or "Sum" && inputs.Count(i => !IsConstant(visit, i)) > 1)
        {
            foreach (var block in inputs.Where(i => !IsConstant(visit, i)).SelectMany(i => visit.Layout(i).Blocks))
                visit.Labelling.Kinds["width"].UnionWith(block.Cells);
        }

        var role = node.OpType is "Mul" or "PRelu" ? SliceRole.Scale : node.OpType is "Add" or "Sub" or "Sum" or "Mean" or "Max" or "Min" or "Where" ? SliceRole.Offset : SliceRole.Other;
        foreach (var layout in inputs.Select(visit.Layout))
        {
            for (var axis = 0; axis < layout.Rank; axis++)
                visit.Role(layout, axis, role);
        }
    }

    private static bool IsConstant(Visit visit, int input) => visit.Scope.Index.Constant(visit.Node.Input[input]) is not null;

    private static bool ClipsAroundZero(Visit visit) =>
        Limit(visit, 1, float.NegativeInfinity) <= 0 && Limit(visit, 2, float.PositiveInfinity) >= 0;

    private static float Limit(Visit visit, int input, float otherwise) => !visit.Has(input) ? otherwise
        : visit.Scope.Index.Constant(visit.Node.Input[input]) is { HasPayloadRef: true } tensor && ElementTypes.IsFloat((TensorProto.Types.DataType)tensor.DataType) && visit.Labelling.Model.ReadFloats(tensor) is [var value]
            ? value : float.NaN;

    private static bool KeepsZero(Visit visit, IReadOnlyList<int> inputs)
    {
        bool Shrinks(int i) => visit.Layout(i).Blocks.Count > 0;
        return visit.Node.OpType switch
        {
            "Mul" or "And" => inputs.Any(i => visit.IsZero(i) && Shrinks(i)),
            "Div" => visit.IsZero(0) && !Shrinks(1),
            "Pow" => visit.IsZero(0) && !Shrinks(1) && visit.Scope.Index.Constant(visit.Node.Input[1]) is { HasPayloadRef: true } power
                && ElementTypes.IsFloat((TensorProto.Types.DataType)power.DataType) && Array.TrueForAll(visit.Labelling.Model.ReadFloats(power), p => p > 0),
            "PRelu" => visit.IsZero(0),
            "Add" or "Sub" or "Sum" or "Mean" or "Max" or "Min" => inputs.All(i => visit.IsZero(i) && Shrinks(i)),
            "Where" => inputs.Skip(1).All(i => visit.IsZero(i) && Shrinks(i)),
            _ => false,
        };
    }
}
