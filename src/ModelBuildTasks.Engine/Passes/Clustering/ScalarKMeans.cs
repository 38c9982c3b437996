namespace ModelBuildTasks.Engine.Passes.Clustering;

/// <summary>
/// The k values for which Σ weight·(x − nearest)² is least, for numbers on a line. Best clusters are intervals of the sorted values, and the best
/// last boundary never moves left as more values are taken in, so that dynamic programming with divide and conquer finds the optimum in
/// O(k·n·log n) (Wang and Song 2011; Grønlund et al. 2017). Beyond <see cref="MostPoints"/> distinct values, neighbours are joined to points
/// of about the same weight with their exact sums, and Lloyd's iteration (1982) on all values follows.
/// </summary>
internal static class ScalarKMeans
{
    /// <summary>Points up to which the result is the optimum.</summary>
    public const int MostPoints = 8192;

    private const int MostLloydSteps = 50;

    /// <summary>Sums of a run of sorted values.</summary>
    private readonly record struct Point(double Weight, double First, double Second);

    /// <summary>The centers in ascending order: <paramref name="k"/>, or fewer where there are fewer distinct values.</summary>
    /// <param name="values">Finite values in any order.</param>
    /// <param name="weights">Not negative, one a value; empty where all count alike.</param>
    /// <param name="k">Centers, at least 1.</param>
    public static double[] Centers(ReadOnlySpan<float> values, ReadOnlySpan<double> weights, int k)
    {
        var sorted = values.ToArray();
        var counts = weights.Length > 0 ? weights.ToArray() : [.. Enumerable.Repeat(1.0, values.Length)];
        Array.Sort(sorted, counts);
        var (distinct, merged) = Distinct(sorted, counts);
        if (distinct.Length <= k)
            return [.. distinct.Select(v => (double)v)];
        // Values far from zero would lose digits in the sums of squares.
        var middle = distinct.Average(v => (double)v);
        var points = Points(distinct, merged, middle);
        var ends = Ends(points, k);
        var centers = Means(points, ends);
        for (var c = 0; c < centers.Length; c++)
            centers[c] += middle;
        return points.Length == distinct.Length ? centers : Lloyd(distinct, merged, centers);
    }

    /// <summary>Σ weight·(x − nearest center)².</summary>
    public static double Loss(ReadOnlySpan<float> values, ReadOnlySpan<double> weights, double[] centers)
    {
        double sum = 0;
        for (var i = 0; i < values.Length; i++)
        {
            var rest = values[i] - centers[Nearest(centers, values[i])];
            sum += (weights.Length > 0 ? weights[i] : 1) * rest * rest;
        }

        return sum;
    }

    /// <summary>The index of the nearest of ascending centers, of two equally near ones the lower.</summary>
    public static int Nearest(double[] centers, double value)
    {
        var at = Array.BinarySearch(centers, value);
        if (at >= 0)
            return at;
        at = ~at;
        return at == 0 ? 0 : at == centers.Length || value - centers[at - 1] <= centers[at] - value ? at - 1 : at;
    }

    private static (float[] Values, double[] Weights) Distinct(float[] sorted, double[] weights)
    {
        var (values, sums) = (new List<float>(), new List<double>());
        for (var i = 0; i < sorted.Length; i++)
        {
            if (values.Count > 0 && values[^1] == sorted[i])
            {
                sums[^1] += weights[i];
                continue;
            }

            values.Add(sorted[i]);
            sums.Add(weights[i]);
        }

        return ([.. values], [.. sums]);
    }

    private static Point[] Points(float[] values, double[] weights, double middle)
    {
        // What nothing weighs has to be near a center all the same.
        var least = weights.Sum() / weights.Length * 1e-9;
        least = least > 0 ? least : 1;
        var points = new Point[Math.Min(values.Length, MostPoints)];
        for (var i = 0; i < values.Length; i++)
        {
            var at = (int)((long)i * points.Length / values.Length);
            var (x, w) = (values[i] - middle, Math.Max(weights[i], least));
            points[at] = new(points[at].Weight + w, points[at].First + w * x, points[at].Second + w * x * x);
        }

        return points;
    }

    /// <summary>Where each cluster ends, exclusive.</summary>
    private static int[] Ends(Point[] points, int k)
    {
        var n = points.Length;
        var prefix = new Point[n + 1];
        for (var i = 0; i < n; i++)
            prefix[i + 1] = new(prefix[i].Weight + points[i].Weight, prefix[i].First + points[i].First, prefix[i].Second + points[i].Second);
        double Cost(int from, int to)
        {
            var weight = prefix[to].Weight - prefix[from].Weight;
            var first = prefix[to].First - prefix[from].First;
            return Math.Max(0, prefix[to].Second - prefix[from].Second - first * first / weight);
        }

        var best = new double[n + 1];
        var next = new double[n + 1];
        var starts = new int[k][];
        for (var to = 1; to <= n; to++)
            best[to] = Cost(0, to);
        starts[0] = new int[n + 1];
        for (var c = 1; c < k; c++)
        {
            var from = starts[c] = new int[n + 1];
            Array.Fill(next, double.PositiveInfinity);
            Divide(c + 1, n, c, n - 1);
            (best, next) = (next, best);

            void Divide(int low, int high, int least, int most)
            {
                if (low > high)
                    return;
                var to = (low + high) / 2;
                var (found, at) = (double.PositiveInfinity, Math.Min(least, to - 1));
                for (var start = least; start <= Math.Min(most, to - 1); start++)
                {
                    var cost = best[start] + Cost(start, to);
                    if (cost < found)
                        (found, at) = (cost, start);
                }

                (next[to], from[to]) = (found, at);
                Divide(low, to - 1, least, at);
                Divide(to + 1, high, at, most);
            }
        }

        var ends = new int[k];
        for (var (c, to) = (k - 1, n); c >= 0; c--)
        {
            ends[c] = to;
            to = starts[c][to];
        }

        return ends;
    }

    private static double[] Means(Point[] points, int[] ends)
    {
        var centers = new double[ends.Length];
        for (var c = 0; c < ends.Length; c++)
        {
            var sum = default(Point);
            for (var i = c == 0 ? 0 : ends[c - 1]; i < ends[c]; i++)
                sum = new(sum.Weight + points[i].Weight, sum.First + points[i].First, 0);
            centers[c] = sum.First / sum.Weight;
        }

        return centers;
    }

    private static double[] Lloyd(float[] values, double[] weights, double[] centers)
    {
        for (var step = 0; step < MostLloydSteps; step++)
        {
            var (sums, counts) = (new double[centers.Length], new double[centers.Length]);
            for (var (i, c) = (0, 0); i < values.Length; i++)
            {
                while (c + 1 < centers.Length && centers[c + 1] - values[i] < values[i] - centers[c])
                    c++;
                sums[c] += weights[i] * values[i];
                counts[c] += weights[i];
            }

            var moved = false;
            for (var c = 0; c < centers.Length; c++)
            {
                var mean = counts[c] > 0 ? sums[c] / counts[c] : centers[c];
                moved |= Math.Abs(mean - centers[c]) > 1e-9 * Math.Abs(mean);
                centers[c] = mean;
            }

            if (!moved)
                break;
        }

        return centers;
    }
}
