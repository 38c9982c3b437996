using ModelBuildTasks.Engine.Data;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Validation;

/// <summary>
/// Where an output holds the scores of classes: an array seen as [Outer, Classes, Inner], with one decision for each of
/// the Outer·Inner positions, in row-major order of the output without its class axis.
/// </summary>
internal readonly record struct ClassLayout(long Outer, int Classes, long Inner)
{
    /// <summary>Decisions in the output.</summary>
    public long Positions => Outer * Inner;

    /// <summary>The layout for which there is one label a decision: the last axis holds the classes if that fits, else axis 1. Null when neither fits.</summary>
    public static ClassLayout? ForLabels(long[] shape, long labels)
    {
        foreach (var axis in (int[])[shape.Length - 1, 1, 0])
        {
            // Axis 0 only where there is nothing else: an output [classes] of a model without a batch axis.
            if (axis < 0 || axis >= shape.Length || (axis == 0 && shape.Length > 1))
                continue;
            if (Over(shape, axis) is { Classes: > 1 } layout && layout.Positions == labels)
                return layout;
        }

        return null;
    }

    /// <summary>
    /// The layout when there are no labels: the last axis for [batch, sequence, classes] over an integer [batch, sequence]
    /// input; axis 1 for [batch, classes] with nothing but ones behind it; the only axis for [classes]. Other outputs
    /// (boxes, images, signals) have no obvious classes: null, or the last axis of rank 3 and axis 1 of higher ranks when
    /// someone asks for classes all the same.
    /// </summary>
    public static ClassLayout? WithoutLabels(long[] shape, IReadOnlyDictionary<string, Tensor> inputs, long samples, bool asked)
    {
        var layout = shape.Length switch
        {
            1 when samples == 1 => Over(shape, 0),
            2 => Over(shape, 1),
            3 when IsSequence(shape, inputs) => Over(shape, 2),
            > 2 when shape.Skip(2).All(d => d == 1) => Over(shape, 1),
            3 when asked => Over(shape, 2),
            > 3 when asked => Over(shape, 1),
            _ => null,
        };
        return layout is { Classes: > 1 } ? layout : null;
    }

    /// <summary>The tokens and the layout [batch, sequence, vocabulary] of a language model, or null when this is none.</summary>
    public static (long[] Tokens, int Length, ClassLayout Layout)? NextToken(long[] shape, IReadOnlyDictionary<string, Tensor> inputs)
    {
        if (shape.Length != 3 || shape[1] < 2)
            return null;
        var tokens = inputs.Values.Where(t => IsInteger(t.Type) && t.Shape.Length == 2 && t.Shape[0] == shape[0] && t.Shape[1] == shape[1]).ToList();

        // Masks and positions have the tokens' shape too; without the manifest saying which is which, only one is sure.
        return tokens.Count == 1 && Over(shape, 2) is { } layout ? (Integers(tokens[0]), (int)shape[1], layout) : null;
    }

    private static bool IsSequence(long[] shape, IReadOnlyDictionary<string, Tensor> inputs) =>
        inputs.Values.Any(t => IsInteger(t.Type) && t.Shape.Length == 2 && t.Shape[0] == shape[0] && t.Shape[1] == shape[1]);

    private static bool IsInteger(DataType type) => type is DataType.Int64 or DataType.Int32 or DataType.Uint8 or DataType.Int8 or DataType.Int16 or DataType.Uint16;

    private static long[] Integers(Tensor tensor)
    {
        if (tensor.Type == DataType.Int64)
            return tensor.As<long>().ToArray();

        // Exact: token ids of the narrower types are far below 2^24.
        return [.. tensor.ToFloats().Select(v => (long)v)];
    }

    private static ClassLayout? Over(long[] shape, int axis)
    {
        long outer = 1, inner = 1;
        for (var i = 0; i < shape.Length; i++)
        {
            if (i < axis)
                outer *= shape[i];
            else if (i > axis)
                inner *= shape[i];
        }

        return shape[axis] is > 0 and <= int.MaxValue ? new(outer, (int)shape[axis], inner) : null;
    }
}
