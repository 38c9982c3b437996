using System.Runtime.InteropServices;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Quantization.Storage;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.Storage;

/// <summary>Forms in which every element of a float32 tensor is stored.</summary>
internal static class DenseForms
{
    private const int Limit = 127;

    /// <summary>float16 and a Cast, where no value moves by more than <paramref name="tolerance"/>; null where one does.</summary>
    /// <param name="values">The tensor.</param>
    /// <param name="tolerance">Greatest |w − ŵ|; at 0 the bits stay the same.</param>
    public static StoredForm? Half(float[] values, double tolerance)
    {
        var halves = new Half[values.Length];
        double worst = 0;
        for (var i = 0; i < values.Length; i++)
        {
            halves[i] = (Half)values[i];
            var back = (float)halves[i];
            if (BitConverter.SingleToUInt32Bits(back) == BitConverter.SingleToUInt32Bits(values[i]))
                continue;
            var error = Math.Abs((double)back - values[i]);
            if (!(error <= tolerance) || tolerance <= 0)
                return null;
            worst = Math.Max(worst, error);
        }

        return new("float16", [MemoryMarshal.AsBytes(halves.AsSpan()).ToArray()], 1, to =>
        {
            to.Cast(to.Context.Add<Half>(to.Graph, "h", DataType.Float16, to.Tensor.Dims, halves), DataType.Float);
            to.End();
        })
        { Error = worst };
    }

    /// <summary>
    /// int8 codes times a scale, one for the tensor or one for each index of an axis, where that gives every value in the same bits, or, with a tolerance,
    /// where no value moves by more than that; null where it does not.
    /// </summary>
    public static StoredForm? Int8(float[] values, IReadOnlyList<long> dims, double tolerance)
    {
        // -1 stands for one scale.
        for (var axis = -1; axis < Math.Min(dims.Count, 2); axis++)
        {
            var (length, inner) = axis < 0 ? (1L, (long)values.Length) : (dims[axis], dims.Skip(axis + 1).Aggregate(1L, (p, d) => p * d));
            if (axis >= 0 && (length == 1 || length * 8 > values.Length))
                continue;
            int Group(int i) => axis < 0 ? 0 : (int)(i / inner % length);
            if (Scales(values, (int)length, Group, tolerance) is not var (scales, codes, worst))
                continue;
            long[] shape = axis < 0 ? [] : [.. dims.Select((d, a) => a == axis ? d : 1)];
            return new("int8", [MemoryMarshal.AsBytes(codes.AsSpan()).ToArray(), MemoryMarshal.AsBytes(scales.AsSpan()).ToArray()], 2, to =>
            {
                var real = to.Cast(to.Context.Add<sbyte>(to.Graph, "w", DataType.Int8, to.Tensor.Dims, codes), DataType.Float);
                to.Node("Mul", real, to.Context.Add<float>(to.Graph, "sw", DataType.Float, shape, scales));
                to.End();
            })
            { Error = worst };
        }

        return null;
    }

    /// <summary>Codes and tables of at most 256 values; empty where there are more.</summary>
    public static IEnumerable<StoredForm> Palettes(float[] values, long opset)
    {
        if (ExactPalettes.Codes(values) is not { } palette)
            yield break;
        foreach (var bits in PaletteWriter.Widths(palette, opset).Distinct())
        {
            yield return new($"palette of {palette.Length} values", [.. palette.Payloads(bits)], PaletteWriter.NodeCount(palette, bits),
                to => new PaletteWriter(to.Context).Write(to.Graph, to.Tensor, palette, bits, to.Nodes));
        }
    }

    /// <summary>The scales and codes of groups, or null where a value is missed.</summary>
    private static (float[] Scales, sbyte[] Codes, double Worst)? Scales(float[] values, int groups, Func<int, int> group, double tolerance)
    {
        var largest = new float[groups];
        for (var i = 0; i < values.Length; i++)
        {
            if (!float.IsFinite(values[i]) || BitConverter.SingleToUInt32Bits(values[i]) == 0x80000000)
                return null;
            largest[group(i)] = Math.Max(largest[group(i)], Math.Abs(values[i]));
        }

        var scales = Array.ConvertAll(largest, l => l > 0 ? l / Limit : 1);
        if (tolerance > 0 && Codes(values, scales, group, tolerance) is var (near, error))
            return (scales, near, error);
        // What was quantized elsewhere reaches some code between 1 and 127, at a scale that the product was rounded from.
        var members = new List<int>[groups];
        for (var i = 0; i < values.Length; i++)
            (members[group(i)] ??= []).Add(i);
        for (var g = 0; g < groups; g++)
        {
            if (largest[g] > 0 && !Exact(values, members[g], largest[g], out scales[g]))
                return null;
        }

        return Codes(values, scales, group, 0) is var (codes, worst) ? (scales, codes, worst) : null;
    }

    private static bool Exact(float[] values, List<int> members, float largest, out float scale)
    {
        for (var top = Limit; top >= 1; top--)
        {
            var start = largest / top;
            foreach (var candidate in (ReadOnlySpan<float>)[start, MathF.BitIncrement(start), MathF.BitDecrement(start)])
            {
                scale = candidate;
                var fits = true;
                foreach (var i in members)
                {
                    if (MathF.Round(values[i] / scale) * scale == values[i])
                        continue;
                    fits = false;
                    break;
                }

                if (fits)
                    return true;
            }
        }

        scale = 1;
        return false;
    }

    private static (sbyte[] Codes, double Worst)? Codes(float[] values, float[] scales, Func<int, int> group, double tolerance)
    {
        var codes = new sbyte[values.Length];
        double worst = 0;
        for (var i = 0; i < values.Length; i++)
        {
            var scale = scales[group(i)];
            var code = MathF.Round(values[i] / scale);
            var error = Math.Abs((double)(code * scale) - values[i]);
            if (!(Math.Abs(code) <= Limit) || !(error <= tolerance))
                return null;
            (codes[i], worst) = ((sbyte)code, Math.Max(worst, error));
        }

        return (codes, worst);
    }
}
