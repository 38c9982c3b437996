using System.Buffers;
using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.HalfPrecision;

/// <summary>float32 payloads as float16, rounded to nearest even. Infinities and NaN stay; finite values beyond the range become its ends.</summary>
internal static class HalfConversion
{
    /// <summary>The least magnitude that rounds to infinity.</summary>
    public const float Overflow = 65520;

    /// <summary>A payload of float16 that is computed where it is read: nothing of it is held.</summary>
    /// <param name="source">float32 values.</param>
    public static Payload Convert(Payload source) => new HalfPayload(source);

    /// <summary>A float32 tensor's values as a float16 tensor, which is not added to a graph.</summary>
    public static TensorProto Tensor(OnnxModel model, string name, TensorProto source)
    {
        var tensor = new TensorProto { Name = name, DataType = (int)TensorProto.Types.DataType.Float16, PayloadRef = model.Payloads.Add(Convert(model.Payloads[source.PayloadRef])) };
        tensor.Dims.AddRange(source.Dims);
        return tensor;
    }

    /// <summary>The values as float16.</summary>
    public static void Convert(ReadOnlySpan<float> source, Span<Half> destination)
    {
        if (HalfKernels.TryConvert(source, MemoryMarshal.Cast<Half, ushort>(destination)))
            return;
        TensorPrimitives.ConvertToHalf(source, destination);
        for (var i = 0; i < source.Length; i++)
        {
            if (float.IsFinite(source[i]) && Half.IsInfinity(destination[i]))
                destination[i] = source[i] < 0 ? Half.MinValue : Half.MaxValue;
        }
    }

    /// <summary>The values that float16 makes of others.</summary>
    public static float[] Round(ReadOnlySpan<float> values)
    {
        var rounded = new float[values.Length];
        var halves = new Half[values.Length];
        if (values.Length == 0)
            return rounded;
        Convert(values, halves);
        TensorPrimitives.ConvertToSingle(halves, rounded);
        return rounded;
    }

    private sealed class HalfPayload(Payload source) : Payload
    {
        private const int Elements = 1 << 15;

        public override long Length => source.Length / 2;

        public override void Read(long offset, Span<byte> destination)
        {
            var raw = ArrayPool<byte>.Shared.Rent(Elements * sizeof(float));
            var halves = ArrayPool<Half>.Shared.Rent(Elements);
            try
            {
                while (destination.Length > 0)
                {
                    // A read may begin and end inside of an element.
                    var inside = (int)(offset % 2);
                    var count = Math.Min(Elements, (destination.Length + inside + 1) / 2);
                    var part = raw.AsSpan(0, count * sizeof(float));
                    source.Read(offset / 2 * sizeof(float), part);
                    Convert(MemoryMarshal.Cast<byte, float>(part), halves.AsSpan(0, count));
                    var bytes = MemoryMarshal.AsBytes(halves.AsSpan(0, count))[inside..];
                    bytes = bytes[..Math.Min(bytes.Length, destination.Length)];
                    bytes.CopyTo(destination);
                    destination = destination[bytes.Length..];
                    offset += bytes.Length;
                }
            }
            finally
            {
                ArrayPool<byte>.Shared.Return(raw);
                ArrayPool<Half>.Shared.Return(halves);
            }
        }
    }
}
