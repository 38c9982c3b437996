using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.Storage;

/// <summary>
/// The four parts of each float32 in planes of bytes: exponents are much alike and an entropy coder that sees them together codes them in a few bits,
/// which it does not where they alternate with digits. ±(128 + m₂)·2¹⁶ + m₁·2⁸ + m₀ is exact in float32, and so is its product with a power of two.
/// </summary>
internal static class SplitForm
{
    // The powers of smaller exponents are subnormal, which arithmetic may take for zero.
    private const int LeastExponent = 32;

    /// <summary>The form, or null for tensors with infinities, NaN, subnormals and the like.</summary>
    public static StoredForm? Of(float[] values)
    {
        var planes = new byte[4][];
        for (var p = 0; p < 4; p++)
            planes[p] = new byte[values.Length];
        for (var i = 0; i < values.Length; i++)
        {
            var bits = BitConverter.SingleToUInt32Bits(values[i]);
            var exponent = (int)(bits >> 23 & 255);
            if (exponent == 255 || exponent < LeastExponent && bits << 1 != 0)
                return null;
            planes[0][i] = (byte)exponent;
            planes[1][i] = (byte)(bits >> 31 << 7 | bits >> 16 & 127);
            planes[2][i] = (byte)(bits >> 8);
            planes[3][i] = (byte)bits;
        }

        return new("byte planes", planes, 14, to =>
        {
            var dims = to.Tensor.Dims;
            string Plane(int p) => to.Context.Add<byte>(to.Graph, "p", DataType.Uint8, dims, planes[p]);
            string Constant(string name, float value) => to.Context.Shared<float>(to.Graph, name, "c", DataType.Float, [], [value]);
            string Table(string name, Func<int, float> entry) => to.Context.Shared<float>(to.Graph, name, "t", DataType.Float, [256], [.. Enumerable.Range(0, 256).Select(entry)]);
            // A zero has no leading one: its power is 0.
            var power = to.Node("Gather", Table("powers", e => e < LeastExponent ? 0 : MathF.ScaleB(1, e - 150)), to.Cast(Plane(0), DataType.Int32));
            var top = to.Cast(Plane(1), DataType.Int32);
            var digits = to.Node("Gather", Table("tops", m => (128 + (m & 127)) * 65536f), top);
            var sign = to.Node("Gather", Table("signs", m => m < 128 ? 1 : -1), top);
            var low = to.Node("Add", to.Node("Mul", to.Cast(Plane(2), DataType.Float), Constant("256", 256)), to.Cast(Plane(3), DataType.Float));
            to.Node("Mul", to.Node("Mul", to.Node("Add", digits, low), sign), power);
            to.End();
        });
    }
}
