using CsCheck;
using ModelBuildTasks.Engine.Statistics;

namespace ModelBuildTasks.Engine.Tests.Statistics;

[TestClass]
public sealed class ChannelSumsTests
{
    [TestMethod]
    public void Means_are_the_same_bits_for_any_order_and_split_of_the_samples() =>
        Gen.Float[-1e4f, 1e4f].Array[12].Array[1, 8].Sample(samples =>
        {
            var one = new ChannelSums();
            one.Add([.. samples.SelectMany(s => s)], [samples.Length, 3, 4], 1);
            var split = new ChannelSums();
            foreach (var sample in samples.Reverse())
            {
                var part = new ChannelSums();
                part.Add(sample, [1, 3, 4], 1);
                split.Merge(part);
            }

            CollectionAssert.AreEqual(one.Means(), split.Means());
            for (var c = 0; c < 3; c++)
                Assert.AreEqual(samples.Average(s => s.Skip(c * 4).Take(4).Average(v => (double)v)), one.Means()[c], 1e-9 * 1e4);
        });

    [TestMethod]
    public void A_negative_axis_counts_from_the_end()
    {
        var sums = new ChannelSums();
        sums.Add([1, 2, 3, 10, 20, 30], [2, 3], -1);
        CollectionAssert.AreEqual(new double[] { 5.5, 11, 16.5 }, sums.Means());
    }

    [TestMethod]
    public void Another_number_of_channels_or_a_value_that_is_not_finite_gives_no_means()
    {
        var changed = new ChannelSums();
        changed.Add([1, 2], [1, 2], 1);
        changed.Add([1, 2, 3], [1, 3], 1);
        Assert.IsEmpty(changed.Means());
        var broken = new ChannelSums();
        broken.Add([1, float.NaN], [1, 2], 1);
        Assert.IsEmpty(broken.Means());
    }
}
