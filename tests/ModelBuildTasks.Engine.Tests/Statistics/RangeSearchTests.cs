using CsCheck;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Statistics;

namespace ModelBuildTasks.Engine.Tests.Statistics;

[TestClass]
public sealed class RangeSearchTests
{
    [TestMethod]
    public void MinMax_is_the_seen_range_with_zero_in_it()
    {
        Assert.AreEqual(new ValueRange(0, 7.5), Find([2, 7.5f, 3], Calibrator.MinMax));
        Assert.AreEqual(new ValueRange(-7.5, 0), Find([-2, -7.5f], Calibrator.MinMax));
    }

    [TestMethod]
    public void Percentile_leaves_out_the_asked_share_at_each_end()
    {
        // -1000 .. 1000 evenly: 98 % keep all but one hundredth at each end.
        var range = Find([.. Enumerable.Range(-1000, 2001).Select(i => (float)i)], Calibrator.Percentile, 98);
        Assert.AreEqual(-980, range.Min, 1.5);
        Assert.AreEqual(980, range.Max, 1.5);
    }

    [TestMethod]
    public void The_least_squares_range_cuts_off_a_lone_outlier_and_no_even_spread()
    {
        // A million values evenly in 0..1: without an outlier nothing is cut.
        float[] bulk = [.. Enumerable.Range(0, 1_000_000).Select(i => i / 1e6f)];
        Assert.AreEqual(1.0, Find(bulk, Calibrator.Mse).Max, 0.01);
        // With one at 3 the end c has the error (3 - c)^2 + a c^2, a = 10^6 / (12 * 255^2); its minimum is at 3 / (1 + a).
        const double a = 1e6 / (12 * 255.0 * 255.0);
        Assert.AreEqual(3 / (1 + a), Find([.. bulk, 3f], Calibrator.Mse).Max, 0.05);
    }

    [TestMethod]
    public void No_range_on_a_grid_has_a_smaller_error_than_the_one_that_least_squares_finds() =>
        Gen.Select(Gen.Int[0, int.MaxValue], Gen.Double[0.5, 4], Gen.Bool).Sample(t =>
        {
            var random = new Random(t.Item1);
            var statistics = new TensorStatistics();
            statistics.Add([.. Enumerable.Range(0, 3000).Select(_ => Heavy(random, t.Item2, t.Item3))], 1);
            var bins = statistics.Histogram.Bins();
            var found = RangeError.Squared(bins, RangeSearch.Find(statistics, Calibrator.Mse, 0), 256);
            var best = double.PositiveInfinity;
            for (var low = 0.05; low <= 1; low += 0.05)
            {
                for (var high = 0.05; high <= 1; high += 0.05)
                    best = Math.Min(best, RangeError.Squared(bins, new ValueRange(statistics.Min * low, statistics.Max * high).WithZero(), 256));
            }

            // Coordinate descent may end in a neighbouring dip, never far above it.
            Assert.IsLessThanOrEqualTo(best * 1.05, found);
        }, iter: 20);

    [TestMethod]
    public void The_error_on_bins_is_the_error_of_quantizing_the_values()
    {
        // Values on bin centres, so that the histogram loses nothing.
        float[] values = [.. Enumerable.Range(0, 500).Select(i => (i + 0.5f) / 64)];
        var statistics = new TensorStatistics();
        statistics.Add([.. values, 63.99f], 1);
        var range = new ValueRange(0, 5);
        var scale = 5 / 255.0;
        var direct = values.Append(63.9921875f).Sum(v => Math.Pow(v - Math.Min(255, Math.Round(v / scale)) * scale, 2));
        Assert.AreEqual(direct, RangeError.Squared(statistics.Histogram.Bins(), range, 256), direct * 1e-3);
    }

    private static float Heavy(Random random, double power, bool positive)
    {
        var value = Math.Pow(random.NextDouble(), power) / Math.Max(1e-3, random.NextDouble());
        return (float)(positive || random.Next(2) == 0 ? value : -value);
    }

    private static ValueRange Find(float[] values, Calibrator calibrator, double percentile = 100)
    {
        var statistics = new TensorStatistics();
        statistics.Add(values, 1);
        return RangeSearch.Find(statistics, calibrator, percentile);
    }
}
