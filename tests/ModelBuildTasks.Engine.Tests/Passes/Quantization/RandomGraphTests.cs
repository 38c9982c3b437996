using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Passes.Quantization;

namespace ModelBuildTasks.Engine.Tests.Passes.Quantization;

[TestClass]
public sealed class RandomGraphTests
{
    private const int Samples = 5;

    [TestMethod]
    [DataRow(ActivationMode.Auto)]
    [DataRow(ActivationMode.Uint8)]
    [DataRow(ActivationMode.Dynamic)]
    [DataRow(ActivationMode.None)]
    public void Any_network_loads_and_answers_alike_after_quantization(ActivationMode activations) => Sample(small =>
    {
        var data = ListDataset.Random(small.Model, Samples);
        var clean = Cleanup.Run(small.Model, QuantizeTests.Context()).Model;
        var result = Quantize.Run(clean, QuantizeTests.Plan(activations), QuantizeTests.Context(data));
        Assert.IsGreaterThan(24, QuantizeTests.Sqnr(small.Model, result.Model, data), result.Summary);
        Assert.IsTrue(result.Decisions.All(d => d.Reason.Length > 0));
    });

    [TestMethod]
    public void Any_network_answers_the_same_after_clean_up() => Sample(small =>
        Assert.IsGreaterThan(100, QuantizeTests.Sqnr(small.Model, Cleanup.Run(small.Model, QuantizeTests.Context()).Model, ListDataset.Random(small.Model, Samples))));

    [TestMethod]
    public void Any_pruned_network_quantizes_as_well_as_an_unpruned_one() => Sample(small =>
    {
        var data = ListDataset.Random(small.Model, Samples);
        var clean = Cleanup.Run(small.Model, QuantizeTests.Context()).Model;
        var pruned = Prune.Run(clean, new PrunePlan(new("test"), 0.4), QuantizeTests.Context()).Model;
        var result = Quantize.Run(pruned, QuantizeTests.Plan(), QuantizeTests.Context(data));
        Assert.IsGreaterThan(24, QuantizeTests.Sqnr(pruned, result.Model, data), result.Summary);
    });

    // Seeds are counted, not drawn: a failure of a native library ends the test process, and has to be there again the next time.
    // MODELBUILD_RANDOM_SEED and MODELBUILD_RANDOM_COUNT look further.
    internal static void Sample(Action<SmallModel> check, int count = 30)
    {
        var first = Setting("MODELBUILD_RANDOM_SEED", 1);
        for (var seed = first; seed < first + Setting("MODELBUILD_RANDOM_COUNT", count); seed++)
        {
            var small = RandomGraph.Make(seed);
            using var _ = small.Model;
            try
            {
                check(small);
            }
            catch (Exception e)
            {
                throw new AssertFailedException($"seed {seed}, {string.Join(" ", small.Graph.Node.Select(n => n.OpType))}: {e.Message}", e);
            }
        }
    }

    private static int Setting(string name, int otherwise) =>
        int.TryParse(Environment.GetEnvironmentVariable(name), out var value) ? value : otherwise;
}
