using ModelBuildTasks.Engine.Statistics;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured.Selection;

/// <summary>
/// Second moments of what a reader meets, with the correlations that two halves of the data do not agree on taken back: the patches of a
/// photo are much alike, and what a few photos say of two columns together is partly chance.
/// </summary>
internal static class SeenMoments
{
    // What is kept of correlations where there are no halves to compare, as in a stream.
    private const double WithoutHalves = 0.9;

    /// <summary>Moments of a group's columns, [K, K], and their means.</summary>
    /// <param name="first">What one half of the data showed.</param>
    /// <param name="second">What the other half showed; null where there is one part only.</param>
    /// <param name="group">The group.</param>
    /// <param name="centered">Whether moments are about the mean.</param>
    /// <param name="firstOnly">Whether the first half alone counts: the second is to judge by.</param>
    public static (double[] Moments, double[] Means) Of(GramMatrix first, GramMatrix? second, int group, bool centered, bool firstOnly)
    {
        var (moments, means) = (first.Moments(group, centered: false), first.Means(group));
        var n = means.Length;
        var keep = WithoutHalves;
        if (second is not null)
        {
            var (other, otherMeans) = (second.Moments(group, centered: false), second.Means(group));
            keep = Agreement(Centered(moments, means, centered), Centered(other, otherMeans, centered), n, firstOnly);
            if (!firstOnly)
            {
                var share = (double)first.Rows / (first.Rows + second.Rows);
                for (var i = 0; i < moments.Length; i++)
                    moments[i] = share * moments[i] + (1 - share) * other[i];
                for (var i = 0; i < n; i++)
                    means[i] = share * means[i] + (1 - share) * otherMeans[i];
            }
        }

        moments = Centered(moments, means, centered);
        for (var i = 0; i < n; i++)
        {
            for (var j = 0; j < n; j++)
            {
                if (i != j)
                    moments[i * n + j] *= keep;
            }
        }

        return (moments, means);
    }

    /// <summary>
    /// The share of correlations to believe. Chance in one half does not know of chance in the other: Σ AB is what is true of Σ A², and of the
    /// mean of both halves Σ AB / Σ ((A+B)/2)² (split-half reliability).
    /// </summary>
    /// <param name="a">Moments of one half.</param>
    /// <param name="b">Moments of the other.</param>
    /// <param name="n">Columns.</param>
    /// <param name="oneHalf">Whether it is asked for one half, or for their mean.</param>
    public static double Agreement(double[] a, double[] b, int n, bool oneHalf)
    {
        double both = 0, one = 0, mean = 0;
        for (var i = 0; i < n; i++)
        {
            var (ai, bi) = (a[i * n + i], b[i * n + i]);
            if (!(ai > 0) || !(bi > 0))
                continue;
            for (var j = 0; j < i; j++)
            {
                var (aj, bj) = (a[j * n + j], b[j * n + j]);
                if (!(aj > 0) || !(bj > 0))
                    continue;
                var (x, y) = (a[i * n + j] / Math.Sqrt(ai * aj), b[i * n + j] / Math.Sqrt(bi * bj));
                both += x * y;
                one += x * x;
                mean += (x + y) * (x + y) / 4;
            }
        }

        var of = oneHalf ? one : mean;
        return of > 0 ? Math.Clamp(both / of, 0, 1) : 1;
    }

    private static double[] Centered(double[] moments, double[] means, bool centered)
    {
        if (!centered)
            return moments;
        var n = means.Length;
        var result = new double[moments.Length];
        for (var i = 0; i < n; i++)
        {
            for (var j = 0; j < n; j++)
                result[i * n + j] = moments[i * n + j] - means[i] * means[j];
        }

        return result;
    }
}
