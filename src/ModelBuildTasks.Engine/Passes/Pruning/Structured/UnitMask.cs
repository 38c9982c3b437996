using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured;

/// <summary>Makes units dead without removing them: the model then answers as it will when they are cut out.</summary>
internal static class UnitMask
{
    /// <summary>
    /// Writes zeros where consumers read the units; for units that statistics or no weight at all read, everywhere else, too, where zero is what a removed
    /// unit has.
    /// </summary>
    /// <param name="clone">A clone of the analysed model; it is edited.</param>
    /// <param name="analysis">The analysis of the model.</param>
    /// <param name="removed">The units, by the id of their group.</param>
    public static void Apply(OnnxModel clone, ChannelAnalysis analysis, IReadOnlyDictionary<int, IReadOnlyList<int>> removed)
    {
        var indexes = GraphEdit.Indexes(clone).ToList();
        var axes = removed.SelectMany(r => analysis.Groups[r.Key].Slices.Where(s => IsCleared(analysis.Groups[r.Key], s)).Select(s => (Slice: s, Units: r.Value)));
        foreach (var tensor in axes.GroupBy(a => (a.Slice.Graph, a.Slice.Tensor)))
        {
            var constant = indexes[tensor.Key.Graph].Constant(tensor.Key.Tensor)!;
            var raw = clone.ReadBytes(constant);
            foreach (var (slice, units) in tensor)
                Clear(raw, [.. constant.Dims], slice.Axis, [.. units.SelectMany(u => slice.Indices[u])], ElementTypes.Bits((DataType)constant.DataType) / 8);
            constant.PayloadRef = clone.Payloads.Add(raw);
        }
    }

    private static bool IsCleared(ChannelGroup group, ParameterSlice slice) =>
        slice.Role == SliceRole.Consumer || ((group.ReadByStatistics || group.Consumers.Count == 0) && slice.Role != SliceRole.Other);

    private static void Clear(byte[] raw, long[] dims, int axis, int[] indices, int width)
    {
        var inner = (int)ElementTypes.Count(dims.Skip(axis + 1)) * width;
        var outer = (int)ElementTypes.Count(dims.Take(axis));
        for (var o = 0; o < outer; o++)
        {
            foreach (var index in indices)
                raw.AsSpan((o * (int)dims[axis] + index) * inner, inner).Clear();
        }
    }
}
