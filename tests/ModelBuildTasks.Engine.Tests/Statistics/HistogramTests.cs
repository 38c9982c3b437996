using CsCheck;
using ModelBuildTasks.Engine.Statistics;

namespace ModelBuildTasks.Engine.Tests.Statistics;

[TestClass]
public sealed class HistogramTests
{
    private static readonly Gen<float[][]> Batches =
        Gen.Float[-1e3f, 1e3f].SelectMany(v => Gen.Int[-30, 30].Select(e => (float)Math.ScaleB(v, e))).Array[0, 40].Array[1, 6];

    [TestMethod]
    public void Counts_depend_on_the_values_and_not_on_their_order_or_batches() => Batches.Sample(batches =>
    {
        var all = batches.SelectMany(b => b).ToArray();
        var once = Of(all);
        var shuffled = Of([.. all.Reverse()]);
        var merged = new Histogram();
        foreach (var batch in batches)
            merged.Merge(Of(batch));
        var split = new Histogram();
        foreach (var batch in batches)
            Add(split, batch);

        foreach (var other in new[] { shuffled, merged, split })
        {
            Assert.AreEqual(once.Count, other.Count);
            Assert.AreEqual(once.BinWidth, other.BinWidth);
            CollectionAssert.AreEqual(once.Bins().ToList(), other.Bins().ToList());
        }
    });

    [TestMethod]
    public void Every_value_lies_in_the_bin_that_counts_it() => Batches.Sample(batches =>
    {
        var all = batches.SelectMany(b => b).ToArray();
        var histogram = Of(all);
        var bins = histogram.Bins();
        var half = histogram.BinWidth / 2;
        foreach (var (center, count) in bins)
        {
            var inside = center == 0
                ? all.Count(v => v == 0)
                : all.Count(v => v != 0 && Math.Sign(v) == Math.Sign(center) && Math.Abs((double)v) >= Math.Abs(center) - half && Math.Abs((double)v) < Math.Abs(center) + half);
            Assert.AreEqual(inside, count);
        }

        Assert.AreEqual(all.Length, bins.Sum(b => b.Count));
    });

    [TestMethod]
    public void Whole_vectors_count_as_single_values_do() => Gen.Float[-1e3f, 1e3f].SelectMany(v => Gen.Int[-40, 30].Select(e => (float)Math.ScaleB(v, e)))
        .Array[16, 100].SelectMany(a => Gen.Int[0, 5].Select(zeros => a.Select((v, i) => i % 6 < zeros ? (i % 2 == 0 ? 0f : -0f) : v).ToArray()))
        .Sample(values =>
        {
            var single = new Histogram();
            foreach (var value in values)
                Add(single, [value]);
            var vectors = Of(values);
            CollectionAssert.AreEqual(single.Bins().ToList(), vectors.Bins().ToList());
            Assert.AreEqual((single.Zeros, single.Count), (vectors.Zeros, vectors.Count));
        });

    [TestMethod]
    public void The_width_is_the_smallest_power_of_two_that_holds_the_largest_value()
    {
        var histogram = Of([0.75f, -100f]);
        Assert.AreEqual(Math.ScaleB(1, 7 - 12), histogram.BinWidth);
    }

    private static Histogram Of(float[] values)
    {
        var histogram = new Histogram();
        Add(histogram, values);
        return histogram;
    }

    private static void Add(Histogram histogram, float[] values)
    {
        if (values.Length > 0)
            histogram.Add(values, values.Max(Math.Abs));
    }
}
