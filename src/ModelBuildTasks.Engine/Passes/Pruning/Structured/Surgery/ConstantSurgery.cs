using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured.Surgery;

/// <summary>Cuts constants.</summary>
internal static class ConstantSurgery
{
    public static void Apply(OnnxModel clone, Cut cut)
    {
        var indexes = GraphEdit.Indexes(clone).ToList();
        foreach (var ((graph, name), axes) in cut.Labelling.Constants)
        {
            var kept = axes.Select(cells => cells is null ? null : cut.Kept(cells)).Select(mask => mask is null || !mask.Contains(false) ? null : mask).ToArray();
            if (kept.All(m => m is null))
                continue;
            var tensor = indexes[graph].Constant(name)!;
            var (dims, raw) = Take(clone.ReadBytes(tensor), [.. tensor.Dims], ElementTypes.Bits((DataType)tensor.DataType) / 8, kept);
            var smaller = clone.CreateTensor(name, (DataType)tensor.DataType, dims, new ReadOnlyMemory<byte>(raw));
            if (indexes[graph].Producer(name) is { } constant)
            {
                constant.Attribute.Clear();
                constant.Set("value", smaller);
            }
            else
            {
                tensor.Dims.Clear();
                tensor.Dims.AddRange(dims);
                tensor.PayloadRef = smaller.PayloadRef;
            }
        }
    }

    /// <summary>The kept indices of each axis.</summary>
    /// <param name="raw">Row-major elements.</param>
    /// <param name="dims">Lengths of the axes.</param>
    /// <param name="width">Bytes of an element.</param>
    /// <param name="kept">For each axis, which indices stay; null for all.</param>
    public static (long[] Dims, byte[] Raw) Take(byte[] raw, long[] dims, int width, bool[]?[] kept)
    {
        // From the last axis on, so that what is copied at a time grows.
        for (var axis = dims.Length - 1; axis >= 0; axis--)
        {
            if (kept[axis] is not { } mask)
                continue;
            var inner = (int)ElementTypes.Count(dims.Skip(axis + 1)) * width;
            var outer = (int)ElementTypes.Count(dims.Take(axis));
            var left = mask.Count(k => k);
            var result = new byte[(long)outer * left * inner];
            var to = 0;
            for (var o = 0; o < outer; o++)
            {
                for (var i = 0; i < mask.Length; i++)
                {
                    if (!mask[i])
                        continue;
                    raw.AsSpan((o * mask.Length + i) * inner, inner).CopyTo(result.AsSpan(to));
                    to += inner;
                }
            }

            raw = result;
            dims = [.. dims.Select((d, a) => a == axis ? left : d)];
        }

        return (dims, raw);
    }
}
