using ModelBuildTasks.Engine.Statistics;

namespace ModelBuildTasks.Engine.Tests.Statistics;

[TestClass]
public sealed class ChannelRangesTests
{
    [TestMethod]
    public void Ranges_and_mean_squares_are_those_of_each_channel()
    {
        var ranges = new ChannelRanges();
        ranges.Add([1, -2, 3, 4, 5, 6, 7, -8], [2, 2, 2], 1);
        CollectionAssert.AreEqual(new float[] { -2, -8 }, ranges.Min.ToArray());
        CollectionAssert.AreEqual(new float[] { 6, 7 }, ranges.Max.ToArray());
        CollectionAssert.AreEqual(new[] { (1 + 4 + 25 + 36) / 4.0, (9 + 16 + 49 + 64) / 4.0 }, ranges.MeanSquares());
    }

    [TestMethod]
    public void The_result_does_not_depend_on_order_and_split()
    {
        var values = SmallModel.Values(3, 240);
        var whole = new ChannelRanges();
        whole.Add(values, [8, 3, 10], -2);
        var merged = new ChannelRanges();
        for (var sample = 7; sample >= 0; sample--)
        {
            var part = new ChannelRanges();
            part.Add(values.AsSpan(sample * 30, 30), [1, 3, 10], 1);
            merged.Merge(part);
        }

        CollectionAssert.AreEqual(whole.MeanSquares(), merged.MeanSquares());
        CollectionAssert.AreEqual(whole.Min.ToArray(), merged.Min.ToArray());
        CollectionAssert.AreEqual(whole.Max.ToArray(), merged.Max.ToArray());
    }

    [TestMethod]
    public void What_is_not_finite_or_of_another_width_makes_it_invalid()
    {
        var ranges = new ChannelRanges();
        ranges.Add([1, float.NaN], [1, 2], 1);
        Assert.IsEmpty(ranges.MeanSquares());
        var other = new ChannelRanges();
        other.Add([1, 2], [1, 2], 1);
        other.Add([1, 2, 3], [1, 3], 1);
        Assert.IsFalse(other.IsValid);
    }
}
