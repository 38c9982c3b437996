using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.CleanupSteps;

/// <summary>Float tensors of any width as double, and back.</summary>
internal static class FloatValues
{
    /// <summary>The values of a float16, bfloat16, float32 or float64 tensor.</summary>
    public static double[] Read(OnnxModel model, TensorProto tensor)
    {
        if ((DataType)tensor.DataType == DataType.Double)
            return MemoryMarshal.Cast<byte, double>(model.ReadBytes(tensor)).ToArray();
        var values = model.ReadFloats(tensor);
        var wide = new double[values.Length];
        TensorPrimitives.ConvertTruncating<float, double>(values, wide);
        return wide;
    }

    /// <summary>Raw data of the given type, rounded to nearest; null when a value is not finite or would not be in that type.</summary>
    public static byte[]? Write(DataType type, double[] values)
    {
        switch (type)
        {
            case DataType.Double:
                return values.All(double.IsFinite) ? MemoryMarshal.AsBytes<double>(values).ToArray() : null;
            case DataType.Float:
                var singles = new float[values.Length];
                for (var i = 0; i < values.Length; i++)
                    singles[i] = (float)values[i];
                return singles.All(float.IsFinite) ? MemoryMarshal.AsBytes<float>(singles).ToArray() : null;
            case DataType.Float16:
                var halves = new Half[values.Length];
                for (var i = 0; i < values.Length; i++)
                    halves[i] = (Half)values[i];
                return halves.All(Half.IsFinite) ? MemoryMarshal.AsBytes<Half>(halves).ToArray() : null;
            case DataType.Bfloat16:
                var shorts = new ushort[values.Length];
                for (var i = 0; i < values.Length; i++)
                {
                    var bits = BitConverter.SingleToUInt32Bits((float)values[i]);
                    // Round half to even on the 16 bits that are cut off.
                    shorts[i] = (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
                    if (!float.IsFinite(BitConverter.UInt32BitsToSingle((uint)shorts[i] << 16)))
                        return null;
                }

                return MemoryMarshal.AsBytes<ushort>(shorts).ToArray();
            default:
                return null;
        }
    }
}
