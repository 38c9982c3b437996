using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Pipeline;
using ModelBuildTasks.Engine.Tests.Passes.Quantization;

namespace ModelBuildTasks.Engine.Tests.Pipeline;

/// <summary>Chains that prune, from a model's file to its artifact and report.</summary>
[TestClass]
public sealed class PrunedChainTests
{
    private static readonly SourceLocation _at = new("compression.yaml", 3, 5);

    [TestMethod]
    public void The_report_tells_what_the_model_costs_and_how_well_it_does_behind_each_pass()
    {
        using var folder = new TemporaryFolder();
        var result = Run(folder, "llama-aidreams/aidreams260k.onnx",
        [
            new PrunePlan(_at, 0.25) { Structure = PruneStructure.Channels, Measure = PruneMeasure.Parameters, Limit = 0.75, Method = PruneMethod.Magnitude },
            new PrunePlan(_at, 0) { Structure = PruneStructure.Pattern, Shape = (2, 4), Method = PruneMethod.Magnitude },
            new QuantizePlan(_at) { Activations = ActivationMode.None, AdaRound = false },
        ]);
        Assert.IsTrue(result.Succeeded, string.Join('\n', result.Targets[0].Diagnostics));
        var passes = result.Report.Targets[0].Passes;
        CollectionAssert.AreEqual(new[] { "clean-up", "prune", "prune", "quantize" }, passes.Select(p => p.Name).ToArray());
        var (clean, channels, pattern) = (passes[0].Cost!, passes[1].Cost!, passes[2].Cost!);
        Assert.IsLessThanOrEqualTo(0.75 * clean.Parameters, channels.Parameters);
        Assert.IsLessThan(clean.Macs, channels.Macs);
        Assert.IsLessThan(clean.Bytes, channels.Bytes);
        Assert.IsGreaterThan(0, channels.PredictedMs!.Value);
        // Zeros are counted, and save nothing by themselves.
        Assert.AreEqual(channels.Parameters, pattern.Parameters);
        Assert.AreEqual(channels.DenseBytes, pattern.DenseBytes);
        Assert.IsGreaterThan(0.3 * pattern.Parameters, pattern.Zeros);
        Assert.AreEqual(0, channels.Zeros);
        Assert.IsTrue(passes[1].Metrics.Any(m => m.Name == "sqnr"));
        var (first, second) = (Sqnr(passes[1].Metrics), Sqnr(passes[2].Metrics));
        Assert.IsLessThan(first, second, "each prefix loses more");
        Assert.HasCount(0, passes[3].Metrics);
        Assert.IsNotNull(result.Report.Targets[0].Validation);
    }

    [TestMethod]
    public void A_tied_head_is_stored_once_whatever_clean_up_computed_ahead()
    {
        using var folder = new TemporaryFolder();
        var result = Run(folder, "llama-aidreams/aidreams260k.onnx", [new PrunePlan(_at, 0.25) { Structure = PruneStructure.Heads, Limit = 0.75, Method = PruneMethod.Magnitude }]);
        Assert.AreEqual("compressed", result.Report.Targets[0].Outcome, result.Report.Targets[0].OutcomeReason);
        using var made = OnnxModel.Load(result.Targets[0].ArtifactPath!);
        Assert.IsFalse(made.Graph.Initializer.Count(i => i.Dims is [512, 64] or [64, 512]) > 1);
    }

    private static double Sqnr(IReadOnlyList<ModelBuildTasks.Engine.Reporting.MetricReport> metrics) => metrics.Single(m => m.Name == "sqnr").Compressed;

    private static CompressionResult Run(TemporaryFolder folder, string model, IReadOnlyList<PassPlan> passes)
    {
        var target = new TargetPlan
        {
            Name = "Chain",
            Location = _at,
            ModelPath = TestData.Path(model),
            ModelLocation = _at,
            Runtime = RuntimePolicies.Get("ort-cpu"),
            Passes = passes,
            Rules = [],
            Validation = new(),
            OnFailure = OnFailure.Error,
        };
        var plan = new Plan(folder.File("compression.yaml"), new Dictionary<string, DatasetPlan>(), [target], []);
        return Compressor.Run(new(plan, folder.File("out")), new Workbench { Random = _ => Tokens() });
    }

    private static ListDataset Tokens() => new(
    [
        .. Enumerable.Range(0, 2).Select(i => new Batch(
            new Dictionary<string, Tensor> { ["input_ids"] = Tensor.Of<long>(TensorProto.Types.DataType.Int64, [1, 128], [.. Enumerable.Range(0, 128).Select(t => (t * 37L + i * 11) % 500)]) }, null, 1)),
    ]);
}
