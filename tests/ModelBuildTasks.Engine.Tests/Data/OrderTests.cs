using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Data;

[TestClass]
public sealed class OrderTests
{
    private static readonly ValueDescription One = Make.Input("x", DataType.Float, -1, 1);

    [TestMethod]
    public void SplitMix64_gives_the_published_numbers()
    {
        var random = new SplitMix64(1234567);
        Assert.AreEqual(6457827717110365317UL, random.Next());
        Assert.AreEqual(3203168211198807973UL, random.Next());
        Assert.AreEqual(9817491932198370423UL, random.Next());
    }

    [TestMethod]
    public void Samples_are_shuffled_then_skipped_then_taken_and_narrowed_behind_that()
    {
        using var folder = new TemporaryFolder();
        var path = Make.WriteNpy(folder, "(10, 1)", [.. Enumerable.Range(0, 10).Select(i => (float)i)]);
        float[] Read(Func<DatasetPlan, DatasetPlan> change, Func<DatasetUse, DatasetUse>? narrow = null) =>
            Make.Floats(DatasetFactory.Open((narrow ?? (u => u))(Make.Use(change(Make.Plan(Make.Npy(path))))), [One]));

        CollectionAssert.AreEqual(new[] { 2f, 3f, 4f }, Read(p => p with { Skip = 2, Take = 3 }));
        CollectionAssert.AreEqual(new[] { 3f }, Read(p => p with { Skip = 2, Take = 3 }, u => u with { Skip = 1, Take = 1 }));
        var all = Read(p => p with { Shuffle = 7 });
        CollectionAssert.AreEquivalent(Enumerable.Range(0, 10).Select(i => (float)i).ToArray(), all);
        CollectionAssert.AreNotEqual(Enumerable.Range(0, 10).Select(i => (float)i).ToArray(), all);
        CollectionAssert.AreEqual(all[4..6], Read(p => p with { Shuffle = 7, Skip = 4, Take = 2 }));
        CollectionAssert.AreEqual(all[4..6], Read(p => p with { Shuffle = 1, Skip = 4, Take = 2 }, u => u with { Shuffle = 7 }));
        CollectionAssert.AreNotEqual(all, Read(p => p with { Shuffle = 8 }));
        Make.Fails(() => Read(p => p with { Skip = 10 }), DiagnosticCodes.DatasetEmpty);
        Make.Fails(() => Read(p => p, u => u with { Take = 0 }), DiagnosticCodes.DatasetEmpty);
    }

    [TestMethod]
    public void Labels_follow_the_order_of_their_samples_one_or_several_each()
    {
        using var folder = new TemporaryFolder();
        var x = Make.Npy(Make.WriteNpy(folder, "(4, 1)", 0f, 1f, 2f, 3f));
        var labels = Make.Npy(Make.WriteNpy(folder, "|u1", "(4, 2)", [0, 10, 1, 11, 2, 12, 3, 13]));
        var data = DatasetFactory.Open(Make.Use(Make.Plan(x, labels) with { Shuffle = 3, Batch = 3 }), [One]);
        Assert.IsTrue(data.HasLabels);
        foreach (var batch in data.Batches())
        {
            var values = batch.Inputs["x"].ToFloats();
            CollectionAssert.AreEqual(values.SelectMany(v => new[] { (long)v, (long)v + 10 }).ToArray(), batch.Labels);
        }
    }

    [TestMethod]
    public void Random_numbers_stay_in_their_range_and_do_not_depend_on_the_batch()
    {
        RandomSource Source(double min, double max) => new(Make.Here, min, max, 5, 200, []);
        var floats = Make.Floats(Make.Open(Source(-2, 3), Make.Input("x", DataType.Float, -1, 10)));
        Assert.IsTrue(floats.All(v => v is >= -2 and < 3));
        Assert.AreEqual(0.5, floats.Average(), 0.15);
        CollectionAssert.AreEqual(floats, Make.Floats(Make.Open(Source(-2, 3), Make.Input("x", DataType.Float, -1, 10), p => p with { Batch = 64 })));
        var integers = Make.Floats(Make.Open(Source(-2, 3), Make.Input("x", DataType.Int8, -1, 10))).GroupBy(v => v).Select(g => g.Key).Order().ToArray();
        CollectionAssert.AreEqual(new[] { -2f, -1f, 0f, 1f, 2f, 3f }, integers);
        var bytes = Make.Floats(Make.Open(Source(-1e300, 1e300 / 2), Make.Input("x", DataType.Uint64, -1, 2)));
        Assert.IsTrue(bytes.Any(v => v > 1e19));
        Make.Fails(() => Make.Open(Source(0.2, 0.8), Make.Input("x", DataType.Int64, 1)), DiagnosticCodes.DatasetDoesNotFit);
        var shaped = Make.Open(Source(0, 1) with { Shape = [7] }, Make.Input("x", DataType.Float, -1, -1));
        CollectionAssert.AreEqual(new long[] { 1, 7 }, shaped.Batches().First().Inputs["x"].Shape);
        Assert.AreEqual(200, shaped.Count);
    }

    [TestMethod]
    public void Enumerations_at_the_same_time_give_the_same_values()
    {
        var path = Path.Combine(TestData.Root, "samples/DigitReader/mnist/images-idx3-ubyte.gz");
        var data = Make.Open(Make.Idx(path), Make.Input("x", DataType.Float, -1, 1, 28, 28), p => p with { Take = 200, Batch = 16 });
        var sums = new double[4];
        Parallel.For(0, sums.Length, i => sums[i] = data.Batches().Sum(b => b.Inputs["x"].ToFloats().Sum(v => (double)v)));
        Assert.IsGreaterThan(0, sums[0]);
        Assert.IsTrue(sums.All(s => s == sums[0]));

        var source = new ImagesSource(Make.Here, TestData.Root, "samples/PhotoClassifier/photos/test/*.jpg", new ImageOptions { ResizeExact = (32, 32) });
        var photos = Make.Open(source, Make.Input("x", DataType.Float, 1, 3, 32, 32), p => p with { Take = 3 });
        var alone = Make.Floats(photos);
        var together = new float[4][];
        Parallel.For(0, together.Length, i => together[i] = Make.Floats(photos));
        foreach (var values in together)
            CollectionAssert.AreEqual(alone, values);
    }

    [TestMethod]
    public void The_content_hash_follows_values_options_and_narrowing_but_not_the_folder()
    {
        using var folder = new TemporaryFolder();
        using var other = new TemporaryFolder();
        var path = Make.WriteNpy(folder, "(4, 1)", 0f, 1f, 2f, 3f);
        var copy = other.File("other.npy");
        File.Copy(path, copy);
        string Hash(string file, ImageOptions? options = null, Func<DatasetPlan, DatasetPlan>? change = null) =>
            Make.Open(Make.Npy(file, options), One, change).ContentHash;
        Assert.AreEqual(Hash(path), Hash(copy));
        string[] all =
        [
            Hash(path), Hash(path, new ImageOptions { Scale = 2 }), Hash(path, change: p => p with { Take = 2 }),
            Hash(path, change: p => p with { Shuffle = 1 }), Hash(path, change: p => p with { Labels = Make.Npy(path) }),
            Hash(Make.WriteNpy(folder, "(4, 1)", 0f, 1f, 2f, 4f)),
        ];
        Assert.AreEqual(all.Length, all.Distinct().Count());
    }
}
