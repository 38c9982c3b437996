using System.Runtime.InteropServices;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Quantization.Bits;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.Storage;

/// <summary>Forms in which zeros are not stored.</summary>
internal static class SparseForms
{
    // Below this a dense form is always smaller.
    private const double LeastZeros = 0.2;

    /// <summary>A sparse initializer, which the runtime unpacks when it loads the model, and a bit for each element with the values that are not zero.</summary>
    public static IEnumerable<StoredForm> Of(float[] values, IReadOnlyList<long> dims, long opset)
    {
        // The bits of zero: -0 is a value.
        int[] places = [.. Enumerable.Range(0, values.Length).Where(i => BitConverter.SingleToUInt32Bits(values[i]) != 0)];
        if (places.Length > (1 - LeastZeros) * values.Length || places.Length == 0)
            yield break;
        float[] kept = [.. places.Select(i => values[i])];
        var (type, indices) = Indices(places, values.Length);
        yield return new("sparse", [MemoryMarshal.AsBytes(kept.AsSpan()).ToArray(), indices], 0, to =>
        {
            var sparse = new SparseTensorProto { Values = to.Context.Model.CreateTensor<float>(to.Tensor.Name, DataType.Float, [kept.Length], kept) };
            sparse.Indices = to.Context.Model.CreateTensor(to.Context.Fresh("x"), type, [places.Length], new ReadOnlyMemory<byte>(indices));
            sparse.Dims.AddRange(dims);
            to.Graph.SparseInitializer.Add(sparse);
        });
        if (opset < 11)
            yield break;
        var mask = new byte[values.Length];
        foreach (var i in places)
            mask[i] = 1;
        var halves = Array.TrueForAll(kept, v => BitConverter.SingleToUInt32Bits((float)(Half)v) == BitConverter.SingleToUInt32Bits(v));
        // Index 0 is the zero.
        float[] table = [0, .. kept];
        byte[] stored = halves ? MemoryMarshal.AsBytes<Half>(table.Select(v => (Half)v).ToArray()).ToArray() : MemoryMarshal.AsBytes(table.AsSpan()).ToArray();
        yield return new(halves ? "bit mask and float16" : "bit mask and float32", [BitPacking.Pack(mask, 1), stored], halves ? 11 : 10, to =>
        {
            var picked = Counted(to, mask);
            var source = halves ? to.Cast(to.Context.Add<byte>(to.Graph, "t", DataType.Float16, [table.Length], stored), DataType.Float)
                : to.Context.Add<float>(to.Graph, "t", DataType.Float, [table.Length], table);
            to.Node("Reshape", to.Node("Gather", source, picked), BitUnpacking.Longs(to.Context, to.Graph, [.. dims]));
            to.End();
        });
    }

    /// <summary>For each element 0, or how many that are not zero there are up to it.</summary>
    private static string Counted(FormWriter to, byte[] mask)
    {
        var bits = to.Node("Reshape", to.Cast(BitUnpacking.Unpack(to.Context, to.Graph, mask, 1, 0, to.Nodes), DataType.Int32), BitUnpacking.Longs(to.Context, to.Graph, -1));
        if (mask.Length % 8 != 0)
            bits = to.Node("Slice", bits, BitUnpacking.Longs(to.Context, to.Graph, 0), BitUnpacking.Longs(to.Context, to.Graph, mask.Length));
        var axis = to.Context.Shared<long>(to.Graph, "axis 0", "c", DataType.Int64, [], [0]);
        return to.Node("Mul", bits, to.Node("CumSum", bits, axis));
    }

    /// <summary>Places in the narrowest type that has them all. ONNX Runtime reads all four.</summary>
    private static (DataType Type, byte[] Raw) Indices(int[] places, int count) => count switch
    {
        <= sbyte.MaxValue + 1 => (DataType.Int8, [.. places.Select(p => (byte)p)]),
        <= short.MaxValue + 1 => (DataType.Int16, MemoryMarshal.AsBytes<short>(places.Select(p => (short)p).ToArray()).ToArray()),
        _ => (DataType.Int32, MemoryMarshal.AsBytes<int>(places).ToArray()),
    };
}
