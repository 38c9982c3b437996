using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Passes.Quantization.Search;

namespace ModelBuildTasks.Engine.Tests.Passes.Quantization.Search;

[TestClass]
public sealed class NoiseTableTests
{
    [TestMethod]
    [DataRow("digits_mobile/digits_mobile.onnx")]
    [DataRow("llama-aidreams/aidreams260k.onnx")]
    public void Noise_is_the_same_bits_for_any_number_of_threads_and_any_order_of_asking(string file)
    {
        using var model = QuantizeTests.Clean(file);
        var search = new SearchCase(model, ListDataset.Random(model, 2));
        var sources = search.Assign().Sources.Take(40).ToList();
        NoiseTable one = search.Noise(threads: 1), four = search.Noise(threads: 4);
        one.Measure(sources);
        four.Measure(sources);
        var lazy = search.Noise();
        foreach (var source in Enumerable.Reverse(sources))
        {
            Assert.IsGreaterThan(0, one[source]);
            Assert.AreEqual(BitConverter.DoubleToInt64Bits(one[source]), BitConverter.DoubleToInt64Bits(four[source]));
            Assert.AreEqual(one[source], lazy[source]);
        }

        Assert.AreEqual(one.Together(sources), four.Together(Enumerable.Reverse(sources)));
    }

    [TestMethod]
    public void Each_measures_sets_together_and_remembers_single_places()
    {
        var small = QuantizeTests.ConvChain("Relu");
        var search = new SearchCase(small.Model, ListDataset.Random(small.Model, 3), QuantizeTests.Plan(ActivationMode.Uint8));
        var sources = search.Assign().Sources;
        var table = search.Noise();
        var share = 0.0;
        var measured = table.Each([[sources[0]], sources], s => share = s);
        Assert.AreEqual(1.0, share);
        Assert.AreEqual(measured[0], table[sources[0]]);
        Assert.AreEqual(table.Together(sources), measured[1]);
        // Errors of different places are nearly uncorrelated.
        Assert.AreEqual(1, sources.Sum(s => table[s]) / measured[1], 0.35);
    }
}
