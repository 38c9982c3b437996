using System.Runtime.InteropServices;
using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes;

/// <summary>Scales and zero points of a QuantizeLinear or DequantizeLinear with constant parameters.</summary>
/// <param name="Type">Type of the codes.</param>
/// <param name="Scales">One scale, or one an index of <paramref name="Axis"/>.</param>
/// <param name="ZeroPoints">As many zero points; zeros where the node has none.</param>
/// <param name="Axis">The axis of the scales; null for one scale.</param>
internal sealed record QuantizedTensor(DataType Type, float[] Scales, int[] ZeroPoints, int? Axis)
{
    /// <summary>The parameters of a node, or null when they are computed.</summary>
    public static QuantizedTensor? Of(OnnxModel model, GraphIndex index, NodeProto node)
    {
        if (Scale(model, index, node.InputOrEmpty(1)) is not { } scale)
            return null;
        var scales = scale.Values;
        var zeroPoint = index.Constant(node.InputOrEmpty(2));
        var type = zeroPoint is not null ? (DataType)zeroPoint.DataType
            : node.OpType == "DequantizeLinear" && index.Constant(node.InputOrEmpty(0)) is { } codes ? (DataType)codes.DataType
            : DataType.Uint8;
        return new(type, scales, zeroPoint is null ? new int[scales.Length] : Codes(model, zeroPoint), scale.IsScalar ? null : (int)node.Int("axis", 1));
    }

    /// <summary>A constant scale, or the product of two, as the scales of a bias are stored.</summary>
    private static (float[] Values, bool IsScalar)? Scale(OnnxModel model, GraphIndex index, string name)
    {
        if (index.Constant(name) is { } scale)
            return (DataType)scale.DataType == DataType.Float ? (model.ReadFloats(scale), scale.Dims.Count == 0) : null;
        if (index.Producer(name) is not { } product || !product.Is("Mul") || index.Constant(product.Input[0]) is null || index.Constant(product.Input[1]) is null
            || Scale(model, index, product.Input[0]) is not { } left || Scale(model, index, product.Input[1]) is not { IsScalar: true } right)
        {
            return null;
        }

        return ([.. left.Values.Select(v => v * right.Values[0])], left.IsScalar);
    }

    /// <summary>Whether two values have the same codes for the same numbers.</summary>
    public bool IsLike(QuantizedTensor other) =>
        Type == other.Type && Scales.AsSpan().SequenceEqual(other.Scales) && ZeroPoints.AsSpan().SequenceEqual(other.ZeroPoints);

    /// <summary>The integers of a tensor of at most 32 bits.</summary>
    public static int[] Codes(OnnxModel model, TensorProto tensor)
    {
        var bytes = model.ReadBytes(tensor);
        return (DataType)tensor.DataType switch
        {
            DataType.Int8 => [.. bytes.Select(b => (int)(sbyte)b)],
            DataType.Uint8 => [.. bytes.Select(b => (int)b)],
            DataType.Int16 => [.. MemoryMarshal.Cast<byte, short>(bytes).ToArray().Select(v => (int)v)],
            DataType.Uint16 => [.. MemoryMarshal.Cast<byte, ushort>(bytes).ToArray().Select(v => (int)v)],
            DataType.Int32 => MemoryMarshal.Cast<byte, int>(bytes).ToArray(),
            _ => [],
        };
    }
}
