using System.Buffers;

namespace ModelBuildTasks.Engine.Onnx;

/// <summary>
/// Reads a float tensor block by block, so that what is in memory does not grow with the tensor. Blocks depend on the tensor alone, never on the
/// number of threads: what is summed block by block and then in their order is the same on any machine.
/// </summary>
internal static class FloatBlocks
{
    // Half a megabyte: it stays in a core's cache while it is worked on.
    private const int Length = 1 << 17;

    /// <summary>Gets one block.</summary>
    /// <param name="values">The elements before the block that were asked for, and those of the block.</param>
    /// <param name="lead">How many of them are before the block.</param>
    /// <param name="first">Index in the tensor of the block's first element.</param>
    /// <param name="block">Number of the block.</param>
    public delegate void Visit(Span<float> values, int lead, long first, int block);

    /// <summary>Elements of a block: as many whole units as fit, at least one.</summary>
    /// <param name="unit">Elements that stay together.</param>
    public static long BlockLength(long unit) => Math.Max(1, Length / unit) * unit;

    /// <summary>Number of blocks.</summary>
    public static int Count(long elements, long unit) => checked((int)((elements + BlockLength(unit) - 1) / BlockLength(unit)));

    /// <summary>Visits all blocks of a float32, float16, bfloat16 or float64 tensor, several at a time.</summary>
    /// <param name="model">The model.</param>
    /// <param name="tensor">Its tensor.</param>
    /// <param name="unit">Elements that stay together, such as a row.</param>
    /// <param name="threads">Threads to use.</param>
    /// <param name="visit">Called once a block, in any order.</param>
    /// <param name="lead">Elements before each block but the first that are wanted, too.</param>
    public static void ForEach(OnnxModel model, TensorProto tensor, long unit, int threads, Visit visit, int lead = 0)
    {
        var elements = ElementTypes.Count(tensor.Dims);
        if (elements == 0)
            return;
        var length = BlockLength(unit);
        Parallel.For(0, Count(elements, unit), new ParallelOptions { MaxDegreeOfParallelism = Math.Max(1, threads) }, block =>
        {
            var first = block * length;
            var before = (int)Math.Min(lead, first);
            var count = checked((int)Math.Min(length, elements - first)) + before;
            var buffer = ArrayPool<float>.Shared.Rent(count);
            try
            {
                model.ReadFloats(tensor, first - before, buffer.AsSpan(0, count));
                visit(buffer.AsSpan(0, count), before, first, block);
            }
            finally
            {
                ArrayPool<float>.Shared.Return(buffer);
            }
        });
    }
}
