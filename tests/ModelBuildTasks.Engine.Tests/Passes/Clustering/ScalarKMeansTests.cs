using CsCheck;
using ModelBuildTasks.Engine.Passes.Clustering;

namespace ModelBuildTasks.Engine.Tests.Passes.Clustering;

[TestClass]
public sealed class ScalarKMeansTests
{
    [TestMethod]
    public void Centers_are_the_best_that_any_partition_gives() =>
        Gen.Select(Gen.Int[1, 9], Gen.Int[1, 4], Gen.Int[0, 100000], Gen.Bool).Sample((n, k, seed, weighted) =>
        {
            var random = new Random(seed);
            // Equal values and values far from zero, too.
            float[] values = [.. Enumerable.Range(0, n).Select(_ => (float)(random.Next(12) * 0.37 + (seed % 3 * 1000)))];
            double[] weights = weighted ? [.. Enumerable.Range(0, n).Select(_ => 0.01 + random.NextDouble())] : [];
            var centers = ScalarKMeans.Centers(values, weights, k);
            CollectionAssert.AreEqual(centers.Order().Distinct().ToArray(), centers);
            Assert.IsLessThanOrEqualTo(k, centers.Length);
            Assert.AreEqual(BruteForce(values, weights, k), ScalarKMeans.Loss(values, weights, centers), 1e-6);
        }, iter: 2000);

    [TestMethod]
    public void Few_distinct_values_are_kept_as_they_are() =>
        CollectionAssert.AreEqual(new[] { -1.5, 0, 0.25 }, ScalarKMeans.Centers([0.25f, 0, -1.5f, 0.25f, 0], [], 4));

    [TestMethod]
    public void Values_of_great_weight_are_near_their_center()
    {
        float[] values = [0, 1, 2, 10, 11, 12];
        var even = ScalarKMeans.Centers(values, [], 2);
        var heavy = ScalarKMeans.Centers(values, [1, 1, 1, 1, 1000, 1], 2);
        Assert.AreEqual(11, even[1], 1e-9);
        Assert.IsLessThan(1e-2, Math.Abs(heavy[1] - 11));
        Assert.AreEqual(12, ScalarKMeans.Centers(values, [1, 1, 1, 1, 1, 1000], 3)[2], 2e-3);
    }

    [TestMethod]
    public void Many_values_come_as_near_as_the_theory_of_a_normal_distribution_says()
    {
        var random = new Random(1);
        float[] values = [.. Enumerable.Range(0, 200_000).Select(_ => (float)(Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble())))];
        // Max (1960), table I: the least mean squared error of a quantizer with so many values.
        foreach (var (k, error) in new[] { (2, 0.3634), (4, 0.1175), (8, 0.03454), (16, 0.009497), (32, 0.002499) })
            Assert.AreEqual(error, ScalarKMeans.Loss(values, [], ScalarKMeans.Centers(values, [], k)) / values.Length, 0.02 * error, $"{k}");
    }

    private static double BruteForce(float[] values, double[] weights, int k)
    {
        var sorted = values.Select((v, i) => (Value: (double)v, Weight: weights.Length > 0 ? weights[i] : 1)).OrderBy(p => p.Value).ToArray();
        var least = double.PositiveInfinity;
        for (var cuts = 0; cuts < 1 << (sorted.Length - 1); cuts++)
        {
            if (int.PopCount(cuts) >= k)
                continue;
            double loss = 0;
            for (var from = 0; from < sorted.Length;)
            {
                var to = from + 1;
                while (to < sorted.Length && (cuts >> (to - 1) & 1) == 0)
                    to++;
                var mean = sorted[from..to].Sum(p => p.Weight * p.Value) / sorted[from..to].Sum(p => p.Weight);
                loss += sorted[from..to].Sum(p => p.Weight * (p.Value - mean) * (p.Value - mean));
                from = to;
            }

            least = Math.Min(least, loss);
        }

        return least;
    }
}
