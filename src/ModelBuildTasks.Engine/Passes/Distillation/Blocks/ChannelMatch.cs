using System.Numerics.Tensors;
using ModelBuildTasks.Engine.Autodiff;
using ModelBuildTasks.Engine.Onnx;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Passes.DistillationSteps.Blocks;

/// <summary>Which of the teacher's channels a student that is narrower still has: those that it makes. Channels that are left keep their order.</summary>
/// <param name="Axis">The axis of channels.</param>
/// <param name="Channels">For each of the student's channels the teacher's.</param>
internal sealed record ChannelMatch(int Axis, int[] Channels)
{
    private const long LargestRun = 256L << 20;

    // Places that are looked at, spread over the batch.
    private const int Places = 4096;

    // With more of the teacher's power than this missing, nobody knows which channel is which.
    private const double MostError = 0.5;

    /// <summary>The matches of all values that differ in one width alone, by the values' names.</summary>
    /// <param name="student">The student.</param>
    /// <param name="teacher">The teacher.</param>
    /// <param name="values">The values that may be compared.</param>
    /// <param name="batch">What both are run on.</param>
    /// <param name="threads">Threads of ONNX Runtime.</param>
    public static Dictionary<string, ChannelMatch> Of(FormedModel student, FormedModel teacher, IEnumerable<string> values, IReadOnlyDictionary<string, Tensor> batch, int threads)
    {
        var axes = values.Select(v => (Value: v, Axis: Narrowed(student.Graph, teacher.Graph, v))).Where(v => v.Axis > 0).ToDictionary(v => v.Value, v => v.Axis);
        var matches = new Dictionary<string, ChannelMatch>();
        long bytes = 0;
        foreach (var group in axes.Keys.GroupBy(v => (bytes += 8 * ElementTypes.Count(teacher.Graph.Shape(v))) / LargestRun))
        {
            var open = new List<IDisposable>();
            var (mine, theirs) = (student.Values([.. group], threads, open)(batch), teacher.Values([.. group], threads, open)(batch));
            open.ForEach(o => o.Dispose());
            foreach (var value in group)
            {
                if (Find(mine[value], theirs[value], axes[value]) is { } channels)
                    matches[value] = new(axes[value], channels);
            }
        }

        return matches;
    }

    /// <summary>The student's channels of a value of the teacher.</summary>
    public Tensor Take(Tensor tensor)
    {
        var (outer, channels, inner) = Split(tensor.Shape, Axis);
        var shape = (long[])tensor.Shape.Clone();
        shape[Axis] = Channels.Length;
        var (from, bytes) = (tensor.Bytes, new byte[tensor.Bytes.Length / channels * Channels.Length]);
        var part = inner * sizeof(float);
        for (var o = 0; o < outer; o++)
        {
            for (var c = 0; c < Channels.Length; c++)
                from.AsSpan(((o * channels) + Channels[c]) * part, part).CopyTo(bytes.AsSpan(((o * Channels.Length) + c) * part));
        }

        return new(tensor.Type, shape, bytes);
    }

    /// <summary>The channels in order whose squared distance from the student's is least, by dynamic programming; null where it is large.</summary>
    internal static int[]? Find(Tensor mine, Tensor theirs, int axis)
    {
        var (a, b) = (Channel(mine, axis), Channel(theirs, axis));
        var (m, n) = (a.Length, b.Length);
        var cost = new double[m + 1, n + 1];
        for (var i = 1; i <= m; i++)
        {
            cost[i, i - 1] = double.PositiveInfinity;
            for (var j = i; j <= n - m + i; j++)
                cost[i, j] = Math.Min(j > i ? cost[i, j - 1] : double.PositiveInfinity, cost[i - 1, j - 1] + Distance(a[i - 1], b[j - 1]));
        }

        var result = new int[m];
        double power = 0;
        for (var (i, j) = (m, n); i > 0; j--)
        {
            if (j > i && cost[i, j] == cost[i, j - 1])
                continue;
            result[--i] = j - 1;
            power += TensorPrimitives.SumOfSquares<float>(b[j - 1]);
        }

        return cost[m, n] <= MostError * power ? result : null;
    }

    private static double Distance(float[] a, float[] b)
    {
        var distance = TensorPrimitives.Distance<float>(a, b);
        return (double)distance * distance;
    }

    /// <summary>The values of each channel at the places that are looked at.</summary>
    private static float[][] Channel(Tensor tensor, int axis)
    {
        var (outer, channels, inner) = Split(tensor.Shape, axis);
        var places = outer * inner;
        var count = Math.Min(Places, places);
        var (values, result) = (tensor.ToFloats(), new float[channels][]);
        for (var c = 0; c < channels; c++)
        {
            result[c] = new float[count];
            for (var k = 0; k < count; k++)
            {
                var place = (int)((long)k * places / count);
                result[c][k] = values[((((place / inner) * channels) + c) * inner) + (place % inner)];
            }
        }

        return result;
    }

    private static (int Outer, int Channels, int Inner) Split(long[] shape, int axis) =>
        ((int)ElementTypes.Count(shape[..axis]), (int)shape[axis], (int)ElementTypes.Count(shape[(axis + 1)..]));

    /// <summary>The one axis in which a student's value is narrower; 0 where there is none.</summary>
    private static int Narrowed(ShapedGraph mine, ShapedGraph theirs, string value)
    {
        if (!mine.IsFloat(value) || !theirs.IsFloat(value) || !theirs.IsShaped(value) || mine.Shape(value) is not { Length: > 1 } a || theirs.Shape(value) is not { } b || a.Length != b.Length)
            return 0;
        return Enumerable.Range(0, a.Length).Where(i => a[i] != b[i]).ToList() is [var axis] && a[axis] < b[axis] ? axis : 0;
    }
}
