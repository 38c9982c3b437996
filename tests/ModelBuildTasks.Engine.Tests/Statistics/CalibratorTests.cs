using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Statistics;

namespace ModelBuildTasks.Engine.Tests.Statistics;

[TestClass]
public sealed class CalibratorTests
{
    [TestMethod]
    public void Mean_minmax_is_the_mean_of_the_samples_extremes()
    {
        var statistics = new TensorStatistics();
        statistics.Add([-1f, 2f, 5f], 1);
        statistics.Add([-3f, 1f, 1f, -5f, 9f, 0f], 2, samples: 2);
        // (-1 - 3 - 5) / 3 and (5 + 1 + 9) / 3.
        Assert.AreEqual(new ValueRange(-3, 5), RangeSearch.Find(statistics, Calibrator.MeanMinMax));
    }

    [TestMethod]
    public void Tensors_that_share_a_scale_share_the_wider_mean_range()
    {
        var left = Of([1f, 2f]);
        left.Join(Of([-4f, 1f]));
        Assert.AreEqual(new ValueRange(-4, 2), RangeSearch.Find(left, Calibrator.MeanMinMax));
    }

    /// <summary>Sakr et al. 2022, equation 6 by its own recursion on the values: symmetric data has both signs' magnitudes, noise 4^-B/3.</summary>
    [TestMethod]
    public void Octav_finds_the_fixed_point_of_the_paper()
    {
        float[] magnitudes = [.. Laplace(20_000, 1)];
        float[] symmetric = [.. magnitudes, .. magnitudes.Select(m => -m)];
        var expected = PaperFixedPoint(symmetric, 1 / (3.0 * 256 * 256));
        var found = RangeSearch.Find(Of(symmetric), Calibrator.Octav);
        Assert.AreEqual(expected, found.Max, expected * 0.01);
        Assert.AreEqual(-expected, found.Min, expected * 0.01);
        Assert.IsLessThan(magnitudes.Max() * 0.99, found.Max);
    }

    /// <summary>With all values on one side the step is half as wide, and its noise 4^-B/12.</summary>
    [TestMethod]
    public void Octav_uses_all_levels_for_data_of_one_sign_and_does_not_count_zeros_as_noise()
    {
        float[] magnitudes = [.. Laplace(20_000, 2)];
        float[] withZeros = [.. magnitudes, .. new float[60_000]];
        var expected = PaperFixedPoint(withZeros, 1 / (12.0 * 256 * 256));
        var found = RangeSearch.Find(Of(withZeros), Calibrator.Octav);
        Assert.AreEqual(expected, found.Max, expected * 0.01);
        Assert.AreEqual(0, found.Min);
        Assert.AreEqual(found.Max, -RangeSearch.Find(Of([.. withZeros.Select(v => -v)]), Calibrator.Octav).Min, found.Max * 1e-3);
    }

    [TestMethod]
    public void Octav_balances_each_end_of_lopsided_data()
    {
        float[] lopsided = [.. Laplace(20_000, 3), .. Laplace(20_000, 4).Select(v => -v / 10)];
        var statistics = Of(lopsided);
        var found = RangeSearch.Find(statistics, Calibrator.Octav);
        var bins = statistics.Histogram.Bins();
        double Objective(double min, double max)
        {
            double clipped = 0, inside = 0;
            foreach (var (center, count) in bins)
            {
                if (center >= min && center <= max)
                    inside += count;
                else
                    clipped += count * Math.Pow(center - Math.Clamp(center, min, max), 2);
            }

            return clipped + inside * Math.Pow((max - min) / 256, 2) / 12;
        }

        var best = double.PositiveInfinity;
        for (var low = 0.1; low <= 1; low += 0.02)
        {
            for (var high = 0.1; high <= 1; high += 0.02)
                best = Math.Min(best, Objective(statistics.Min * low, statistics.Max * high));
        }

        Assert.IsLessThan(best * 1.02, Objective(found.Min, found.Max));
        Assert.IsGreaterThan(5 * -found.Min, found.Max);
    }

    /// <summary>The worked example of the method: 8 bins to 2 levels. P keeps the outliers in its edge bin, Q spreads each half over its filled bins.</summary>
    [TestMethod]
    public void Entropy_divergence_is_that_of_the_worked_example()
    {
        double[] counts = [1, 0, 2, 3, 5, 3, 1, 7];
        // Whole: Q = (2, 0, 2, 2 | 4, 4, 4, 4), as 1+0+2+3 is spread over 3 bins and 5+3+1+7 over 4.
        double[] p = [1, 0, 2, 3, 5, 3, 1, 7];
        double[] q = [2, 0, 2, 2, 4, 4, 4, 4];
        Assert.AreEqual(Kl(p, q), EntropyRange.Divergence(counts, 0, 8, 2), 1e-12);
        // The first six bins: P's last takes the 1 + 7 outside, Q knows only what is inside.
        double[] cutP = [1, 0, 2, 3, 5, 11];
        double[] cutQ = [1.5, 0, 1.5, 11 / 3.0, 11 / 3.0, 11 / 3.0];
        Assert.AreEqual(Kl(cutP, cutQ), EntropyRange.Divergence(counts, 0, 6, 2), 1e-12);
    }

    [TestMethod]
    public void Entropy_cuts_a_lone_outlier_and_keeps_a_uniform_range()
    {
        var random = new Random(5);
        float[] uniform = [.. Enumerable.Range(0, 200_000).Select(_ => (float)random.NextDouble())];
        Assert.AreEqual(1, RangeSearch.Find(Of(uniform), Calibrator.Entropy).Max, 0.02);
        var range = RangeSearch.Find(Of([.. Laplace(200_000, 6), 60f]), Calibrator.Entropy);
        Assert.IsLessThan(30, range.Max);
        Assert.AreEqual(0, range.Min);
    }

    [TestMethod]
    public void Values_on_the_edges_of_bins_are_counted_by_every_calibrator()
    {
        float[] values = [-128, -64, -1, 0, 1, 64, 127, 128];
        foreach (var calibrator in Enum.GetValues<Calibrator>())
        {
            var range = RangeSearch.Find(Of(values), calibrator);
            Assert.IsTrue(range is { Min: <= 0 and >= -128, Max: >= 0 and <= 128 }, $"{calibrator}: {range}");
        }
    }

    [TestMethod]
    public void Constant_zeros_give_an_empty_range_with_every_calibrator()
    {
        foreach (var calibrator in Enum.GetValues<Calibrator>())
            Assert.AreEqual(new ValueRange(0, 0), RangeSearch.Find(Of(new float[10]), calibrator));
    }

    [TestMethod]
    public void Candidates_are_distinct_and_each_is_what_its_calibrator_gives()
    {
        var statistics = Of([.. Laplace(50_000, 7), 40f]);
        var candidates = RangeSearch.Candidates(statistics);
        Assert.IsGreaterThan(3, candidates.Count);
        foreach (var candidate in candidates)
            Assert.AreEqual(RangeSearch.Find(statistics, candidate.Calibrator), candidate.Range);
        CollectionAssert.AllItemsAreUnique(candidates.Select(c => c.Range).ToList());
        Assert.HasCount(1, RangeSearch.Candidates(Of([.. Enumerable.Repeat(0f, 100), 1f])).Where(c => c.Range.Max > 0.99).ToList());
    }

    [TestMethod]
    public void Auto_takes_the_least_predicted_error_and_cuts_nothing_before_a_mean()
    {
        var statistics = Of([.. Laplace(50_000, 8), 12f]);
        var auto = RangeSearch.Find(statistics, Calibrator.Auto);
        var candidates = RangeSearch.Candidates(statistics);
        Assert.AreEqual(candidates.MinBy(c => c.PredictedError)!.Range, auto);
        Assert.IsLessThan(RangeSearch.Find(statistics, Calibrator.Auto, averaged: true).Max, auto.Max);
    }

    private static double PaperFixedPoint(float[] values, double noise)
    {
        var s = values.Where(v => v != 0).Average(v => Math.Abs((double)v));
        for (var i = 0; i < 200; i++)
        {
            var outside = values.Where(v => Math.Abs(v) > s).ToList();
            var inside = values.Count(v => v != 0 && Math.Abs(v) <= s);
            s = outside.Sum(v => Math.Abs((double)v)) / (noise * inside + outside.Count);
        }

        return s;
    }

    private static double Kl(double[] p, double[] q)
    {
        double sumP = p.Sum(), sumQ = q.Sum(), divergence = 0;
        for (var i = 0; i < p.Length; i++)
            divergence += p[i] > 0 ? p[i] / sumP * Math.Log(p[i] / sumP / (q[i] / sumQ)) : 0;
        return divergence;
    }

    private static IEnumerable<float> Laplace(int count, int seed)
    {
        var random = new Random(seed);
        for (var i = 0; i < count; i++)
            yield return (float)-Math.Log(1 - random.NextDouble());
    }

    private static TensorStatistics Of(float[] values)
    {
        var statistics = new TensorStatistics();
        statistics.Add(values, 1);
        return statistics;
    }
}
