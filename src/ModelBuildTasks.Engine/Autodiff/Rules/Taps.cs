using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Autodiff.Rules;

/// <summary>The values that each place of a kernel meets as its window moves: a slice of the padded input for each place.</summary>
internal sealed class Taps(Windows windows, long[] xShape, long[] gShape)
{
    private readonly long[] _ends = windows.ExactEnds(xShape[2..], gShape[2..]);

    /// <summary>Whether the kernel has one place only.</summary>
    public bool IsPointwise => windows.Kernel.All(k => k == 1);

    /// <summary>The input with its pads, and without what no window reaches. The first two axes may be in either order.</summary>
    public string Padded(GraphBuilder b, string x) => b.Pad(x, [0, 0, .. windows.Begins], [0, 0, .. _ends]);

    /// <summary>A slice for each place, in row-major order, of a tensor whose spatial axes start at <paramref name="axis"/>.</summary>
    public IReadOnlyList<string> All(GraphBuilder b, string padded, int axis)
    {
        long[] axes = [.. Enumerable.Range(axis, windows.Rank).Select(i => (long)i)];
        var slices = new List<string>();
        var places = ElementTypes.Count(windows.Kernel);
        for (long place = 0; place < places; place++)
        {
            var (starts, ends) = (new long[windows.Rank], new long[windows.Rank]);
            var rest = place;
            for (var i = windows.Rank - 1; i >= 0; i--)
            {
                starts[i] = rest % windows.Kernel[i] * windows.Dilations[i];
                ends[i] = starts[i] + ((gShape[2 + i] - 1) * windows.Strides[i]) + 1;
                rest /= windows.Kernel[i];
            }

            slices.Add(places == 1 && windows.Strides.All(s => s == 1) ? padded : b.Slice(padded, axes, starts, ends, windows.Strides));
        }

        return slices;
    }
}
