using System.Security.Cryptography;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Statistics;
using ModelBuildTasks.Engine.Tests.Passes.Quantization;

namespace ModelBuildTasks.Engine.Tests.Statistics;

[TestClass]
public sealed class StatisticsStoreTests
{
    private static readonly Dictionary<string, int> Axes = new() { ["x"] = 1 };

    [TestMethod]
    public void The_same_question_runs_the_data_once_and_gives_the_same_answer()
    {
        using var folder = new TemporaryFolder();
        var model = Model();
        var data = new Counted("a");
        var first = new StatisticsStore(folder.Path).Collect(model, ["x", "y", "s"], data, channelAxes: Axes);
        var second = new StatisticsStore(folder.Path).Collect(Model(), ["x", "y", "s"], data, channelAxes: Axes);
        Assert.AreEqual(1, data.Runs);
        CollectionAssert.AreEquivalent(new[] { "x", "y" }, second.Keys.ToArray());
        foreach (var (name, seen) in first)
            AssertSame(seen, second[name]);
        Assert.HasCount(2, second["x"].Channels.Means());
    }

    [TestMethod]
    public void Another_selection_collects_only_what_is_missing()
    {
        using var folder = new TemporaryFolder();
        var data = new Counted("a");
        var store = new StatisticsStore(folder.Path);
        store.Collect(Model(), ["x"], data);
        store.Collect(Model(), ["x", "y"], data);
        Assert.AreEqual(2, data.Runs);
        store.Collect(Model(), ["y"], data);
        Assert.AreEqual(2, data.Runs);
        // Channel means were not asked for before.
        store.Collect(Model(), ["x"], data, channelAxes: Axes);
        Assert.AreEqual(3, data.Runs);
        // The last axis of two is axis 1.
        store.Collect(Model(), ["x"], data, channelAxes: new Dictionary<string, int> { ["x"] = -1 });
        Assert.AreEqual(3, data.Runs);
        store.Collect(Model(), ["x"], data, channelAxes: new Dictionary<string, int> { ["x"] = 0 });
        Assert.AreEqual(4, data.Runs);
    }

    [TestMethod]
    [DataRow("data")]
    [DataRow("model")]
    [DataRow("no folder")]
    [DataRow("no hash")]
    public void What_changes_the_figures_is_collected_again(string change)
    {
        using var folder = new TemporaryFolder();
        var data = new Counted(change == "no hash" ? "" : "a");
        var place = change == "no folder" ? null : folder.Path;
        new StatisticsStore(place).Collect(Model(), ["y"], data);
        var other = change == "data" ? new Counted("b") : data;
        new StatisticsStore(place).Collect(Model(change == "model" ? 3 : 2), ["y"], other);
        Assert.AreEqual(2, data.Runs + (change == "data" ? other.Runs : 0));
        Assert.HasCount(change switch { "no folder" or "no hash" => 0, _ => 2 }, Directory.GetFiles(folder.Path));
    }

    [TestMethod]
    [DataRow("cut")]
    [DataRow("changed")]
    [DataRow("empty")]
    [DataRow("link")]
    public void A_damaged_entry_is_no_entry_and_is_mended(string damage)
    {
        using var folder = new TemporaryFolder();
        var data = new Counted("a");
        var good = new StatisticsStore(folder.Path).Collect(Model(), ["y"], data);
        var path = Directory.GetFiles(folder.Path).Single();
        var bytes = File.ReadAllBytes(path);
        switch (damage)
        {
            case "cut":
                File.WriteAllBytes(path, bytes[..(bytes.Length / 2)]);
                break;
            case "changed":
                bytes[bytes.Length / 2] ^= 0x10;
                File.WriteAllBytes(path, bytes);
                break;
            case "empty":
                File.WriteAllBytes(path, []);
                break;
            default:
                using (var elsewhere = new TemporaryFolder())
                {
                    File.Move(path, elsewhere.File("x"));
                    File.CreateSymbolicLink(path, elsewhere.File("x"));
                }

                break;
        }

        AssertSame(good["y"], new StatisticsStore(folder.Path).Collect(Model(), ["y"], data)["y"]);
        Assert.AreEqual(2, data.Runs);
        new StatisticsStore(folder.Path).Collect(Model(), ["y"], data);
        Assert.AreEqual(2, data.Runs);
    }

    /// <summary>Entries with a right hash and hostile content: any bytes give statistics or nothing, and never a fault.</summary>
    [TestMethod]
    public void A_hostile_entry_with_a_right_hash_is_read_as_nothing_or_as_possible_figures()
    {
        using var folder = new TemporaryFolder();
        new StatisticsStore(folder.Path).Collect(Model(), ["x", "y", "s"], new Counted("a"), channelAxes: Axes);
        var good = File.ReadAllBytes(Directory.GetFiles(folder.Path).Single())[..^32];
        var random = new Random(1);
        var refused = 0;
        for (var i = 0; i < 3000; i++)
        {
            var content = good[..(i % 3 == 0 ? random.Next(9, good.Length) : good.Length)];
            for (var k = random.Next(4); k >= 0; k--)
                content[random.Next(8, content.Length)] = (byte)(random.Next(3) == 0 ? 0xFF : random.Next(256));
            var read = StatisticsFormat.Read([.. content, .. SHA256.HashData(content)]);
            refused += read is null ? 1 : 0;
            foreach (var seen in read?.Values.Select(t => t.Seen).OfType<TensorStatistics>() ?? [])
                Assert.IsTrue(seen.Min <= seen.Max || (float.IsPositiveInfinity(seen.Min) && float.IsNegativeInfinity(seen.Max)));
        }

        Assert.IsGreaterThan(1000, refused);
    }

    /// <summary>An entry of means without ranges, with a right hash: what was asked for is not all there.</summary>
    [TestMethod]
    public void An_entry_without_the_channels_ranges_does_not_serve_who_asks_for_channels()
    {
        using var folder = new TemporaryFolder();
        var data = new Counted("a");
        var good = new StatisticsStore(folder.Path).Collect(Model(), ["x"], data, channelAxes: Axes);
        var path = Directory.GetFiles(folder.Path).Single();
        var entry = StatisticsFormat.Read(File.ReadAllBytes(path))!;
        File.WriteAllBytes(path, StatisticsFormat.Write(entry.ToDictionary(e => e.Key, e => e.Value with { RangeAxis = null })));
        new StatisticsStore(folder.Path).Collect(Model(), ["x"], data);
        Assert.AreEqual(1, data.Runs);
        AssertSame(good["x"], new StatisticsStore(folder.Path).Collect(Model(), ["x"], data, channelAxes: Axes)["x"]);
        Assert.AreEqual(2, data.Runs);
    }

    [TestMethod]
    public void A_folder_that_cannot_be_written_slows_down_and_does_not_fail()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File("file"), "");
        var data = new Counted("a");
        Assert.HasCount(1, new StatisticsStore(folder.File("file")).Collect(Model(), ["y"], data));
    }

    [TestMethod]
    public void Values_that_become_NaN_are_remembered_with_the_entry()
    {
        using var folder = new TemporaryFolder();
        var model = new SmallModel().Input("x", 2, 2).Node("Sqrt", "x", "y").Output("y").Model;
        for (var i = 0; i < 2; i++)
        {
            var store = new StatisticsStore(folder.Path);
            store.Collect(model, ["x", "y"], new Counted("a"));
            CollectionAssert.AreEqual(new[] { "y" }, store.NaN.ToArray());
        }
    }

    private static OnnxModel Model(float factor = 2) => new SmallModel().Input("x", 2, 2).Floats("f", [1], factor).Node("Mul", "x,f", "y").Node("Shape", "x", "s").Output("y", "s").Model;

    private static void AssertSame(TensorStatistics expected, TensorStatistics actual)
    {
        Assert.AreEqual((expected.Min, expected.Max, expected.HasNonFinite, expected.HasNaN, expected.Rank), (actual.Min, actual.Max, actual.HasNonFinite, actual.HasNaN, actual.Rank));
        CollectionAssert.AreEqual(expected.Histogram.Bins().ToList(), actual.Histogram.Bins().ToList());
        Assert.AreEqual((expected.Histogram.Count, expected.Histogram.Zeros, expected.Histogram.BinWidth), (actual.Histogram.Count, actual.Histogram.Zeros, actual.Histogram.BinWidth));
        Assert.AreEqual(expected.Samples.Mean(), actual.Samples.Mean());
        CollectionAssert.AreEqual(expected.Channels.Means(), actual.Channels.Means());
        CollectionAssert.AreEqual(expected.ChannelRanges.MeanSquares(), actual.ChannelRanges.MeanSquares());
        CollectionAssert.AreEqual(expected.ChannelRanges.Min.ToArray(), actual.ChannelRanges.Min.ToArray());
        CollectionAssert.AreEqual(expected.ChannelRanges.Max.ToArray(), actual.ChannelRanges.Max.ToArray());
    }

    /// <summary>Three samples, counting how often they are asked for.</summary>
    internal sealed class Counted(string hash) : IDataset
    {
        public int Runs { get; private set; }

        public long Count => 3;

        public bool HasLabels => false;

        public string Description => "counted";

        public string ContentHash => hash;

        public IEnumerable<Batch> Batches()
        {
            Runs++;
            return [.. Enumerable.Range(0, 3).Select(i => ListDataset.Batch("x", [2, 2], i, -0.25f * i, 0, 1000f / (i + 1)))];
        }
    }
}
