using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.Quantization.Bits;

/// <summary>Constant nodes that take packed codes apart. A runtime that folds constants does it once, when it loads the model.</summary>
internal static class BitUnpacking
{
    /// <summary>The operator set of BitShift.</summary>
    public const long Opset = 11;

    /// <summary>Stores some bits of each code.</summary>
    /// <param name="context">The model being edited.</param>
    /// <param name="home">The graph that gets them.</param>
    /// <param name="codes">The codes.</param>
    /// <param name="width">Bits to store of each: 1, 2, 4 or 8.</param>
    /// <param name="shift">The first of them.</param>
    /// <param name="nodes">Gets what unpacks them.</param>
    /// <returns>The name of a uint8 value with as many rows as there are bytes; filled up with zeros to whole bytes.</returns>
    public static string Unpack(RewriteContext context, GraphProto home, ReadOnlySpan<byte> codes, int width, int shift, List<NodeProto> nodes)
    {
        var per = 8 / width;
        var packed = BitPacking.Pack(codes, width, shift);
        var bytes = context.Add<byte>(home, "w", DataType.Uint8, [packed.Length, 1], packed);
        if (width == 8)
            return bytes;
        // To the top of the byte, and down again: what was above is gone.
        var up = context.Shared<byte>(home, $"up{width}", "c", DataType.Uint8, [per], [.. Enumerable.Range(0, per).Select(i => (byte)(8 - width * (i + 1)))]);
        var down = context.Shared<byte>(home, $"down{width}", "c", DataType.Uint8, [1], [(byte)(8 - width)]);
        var (left, right) = (context.Fresh("u"), context.Fresh("u"));
        nodes.Add(GraphExtensions.Node("BitShift", [bytes, up], [left]).Set("direction", "LEFT"));
        nodes.Add(GraphExtensions.Node("BitShift", [left, down], [right]).Set("direction", "RIGHT"));
        return right;
    }

    /// <summary>The name of an int64 constant.</summary>
    public static string Longs(RewriteContext context, GraphProto home, params long[] values) =>
        context.Shared<long>(home, $"shape {string.Join(' ', values)}", "c", DataType.Int64, [values.Length], values);
}
