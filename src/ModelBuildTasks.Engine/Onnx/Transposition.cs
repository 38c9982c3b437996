namespace ModelBuildTasks.Engine.Onnx;

/// <summary>Tells whether one matrix is the transposition of another without holding either of them.</summary>
internal static class Transposition
{
    private const int Samples = 16;
    private const int BlockBytes = 4 << 20;

    /// <summary>Whether two tensors of rank 2 and of one type, whose elements are whole bytes, are bit for bit transpositions of each other.</summary>
    public static bool Is(OnnxModel model, TensorProto first, TensorProto second)
    {
        if (first.Dims[0] != second.Dims[1] || first.Dims[1] != second.Dims[0])
            return false;
        var (rows, columns) = (first.Dims[0], first.Dims[1]);
        var (left, right) = (model.Payloads[first.PayloadRef], model.Payloads[second.PayloadRef]);
        var width = (int)(left.Length / Math.Max(1, rows * columns));
        return left.Length == right.Length && width > 0 && SamplesAgree(left, right, rows, columns, width) && Agree(left, right, rows, columns, width);
    }

    // Matrices that only happen to have the shape are told apart by a few elements along a diagonal.
    private static bool SamplesAgree(Payload left, Payload right, long rows, long columns, int width)
    {
        Span<byte> a = stackalloc byte[width], b = stackalloc byte[width];
        for (var i = 0; i < Samples; i++)
        {
            var (r, c) = ((rows - 1) * i / (Samples - 1), (columns - 1) * (Samples - 1 - i) / (Samples - 1));
            left.Read((r * columns + c) * width, a);
            right.Read((c * rows + r) * width, b);
            if (!a.SequenceEqual(b))
                return false;
        }

        return true;
    }

    private static bool Agree(Payload left, Payload right, long rows, long columns, int width)
    {
        var step = (int)Math.Clamp(BlockBytes / (columns * width), 1, rows);
        var (block, line) = (new byte[TooLarge.Checked(step * columns * width, null)], new byte[step * width]);
        for (long r = 0; r < rows; r += step)
        {
            var count = (int)Math.Min(step, rows - r);
            left.Read(r * columns * width, block.AsSpan(0, TooLarge.Checked(count * columns * width, null)));
            for (long c = 0; c < columns; c++)
            {
                right.Read((c * rows + r) * width, line.AsSpan(0, count * width));
                for (var i = 0; i < count; i++)
                {
                    if (!block.AsSpan((int)((i * columns + c) * width), width).SequenceEqual(line.AsSpan(i * width, width)))
                        return false;
                }
            }
        }

        return true;
    }
}
