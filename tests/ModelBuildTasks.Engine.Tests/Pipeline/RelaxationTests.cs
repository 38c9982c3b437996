using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Pipeline;
using ModelBuildTasks.Engine.Tests.Passes.Quantization;

namespace ModelBuildTasks.Engine.Tests.Pipeline;

[TestClass]
public sealed class RelaxationTests
{
    [TestMethod]
    public void Weights_of_few_bits_get_8_before_they_become_float()
    {
        Decision[] ranked = [new("a", "MatMul", "uint4 weights", ""), new("b", "Conv", "int8 static", ""), new("c", "Conv", "int8 weights", ""), new("d", "Conv", "binary weights", "")];
        CollectionAssert.AreEqual(
            new RelaxationStep[] { new("a", QuantizedForm.Weights), new("b", QuantizedForm.Weights), new("d", QuantizedForm.Weights), new("a", null), new("b", null), new("c", null), new("d", null) },
            Relaxation.Steps(ranked).ToArray());
    }

    [TestMethod]
    public void A_gate_that_int8_misses_is_reached_with_bytes_in_between_and_the_rules_make_the_same_artifact()
    {
        using var folder = new TemporaryFolder();
        var (strict, _) = Run(folder, "strict", OnFailure.Warn, 99);
        var plain = strict.Report.Targets[0];
        var sqnr = plain.Validation!.Metrics.Single(m => m.Name == "sqnr").Compressed;

        var (relaxed, plan) = Run(folder, "relaxed", OnFailure.Relax, sqnr + 4);
        var report = relaxed.Report.Targets[0];
        Assert.IsTrue(relaxed.Succeeded, string.Join('\n', report.Diagnostics));
        Assert.AreEqual("relaxed", report.Outcome);
        Assert.IsGreaterThanOrEqualTo(sqnr + 4, report.Validation!.Metrics.Single(m => m.Name == "sqnr").Compressed);
        Assert.IsTrue(report.Validation.Passed);
        Assert.IsGreaterThan(plain.Artifact!.Size, report.Artifact!.Size);
        Assert.IsLessThan(report.Model.Size, report.Artifact.Size);
        var warning = relaxed.Targets[0].Diagnostics.Single();
        Assert.AreEqual(DiagnosticCodes.Relaxed, warning.Code);

        // Pasted, the rules make the same bytes, and nothing is searched.
        var text = warning.Message[warning.Message.IndexOf("rules: [", StringComparison.Ordinal)..];
        var manifest = folder.File("compression.yaml");
        File.WriteAllText(manifest, $"version: 1\ntargets:\n  - model: {Model}\n    recipe: int8\n    {text}\n");
        var rules = ManifestReader.Read(manifest).Targets[0].Rules;
        Assert.IsNotEmpty(rules);
        var (pasted, _) = Run(folder, "pasted", OnFailure.Error, sqnr + 4, rules);
        Assert.AreEqual("compressed", pasted.Report.Targets[0].Outcome);
        Assert.AreEqual(report.Artifact.Sha256, pasted.Report.Targets[0].Artifact!.Sha256);
        Assert.IsEmpty(pasted.Targets[0].Diagnostics);

        // From the cache it comes with the same warning.
        var (cached, _) = Run(folder, "cached", OnFailure.Relax, sqnr + 4, cache: "relaxed-cache");
        Assert.IsTrue(cached.Targets[0].CacheHit);
        Assert.AreEqual(warning.Message, cached.Targets[0].Diagnostics.Single().Message);
    }

    [TestMethod]
    public void What_is_too_large_or_only_too_slow_is_not_relaxed()
    {
        foreach (var gate in new[] { Bench.Gate(Metric.Size, LimitKind.Max, 10), Bench.Gate(Metric.Latency, LimitKind.Ratio, 1e-9) })
        {
            using var bench = new Bench();
            bench.Gates(gate);
            bench.Target = bench.Target with { OnFailure = OnFailure.Relax };
            var result = bench.Run();
            Assert.IsFalse(result.Succeeded);
            Assert.AreEqual(1, bench.Runs);
            StringAssert.Contains(result.Targets[0].Diagnostics[^1].Message, "relax cannot help");
            Assert.IsFalse(File.Exists(bench.Artifact));
        }
    }

    [TestMethod]
    public void What_is_wrong_in_float_too_fails_with_the_gate()
    {
        // Whatever the rules say, the pass spoils the weights.
        using var bench = new Bench { Pass = (model, _) => Bench.Done(TinyModel.Shrink(model, w => w * 0.5f)) };
        bench.Gates(Bench.Gate(Metric.Sqnr, LimitKind.Min, 40));
        bench.Target = bench.Target with { OnFailure = OnFailure.Relax };
        var result = bench.Run();
        CollectionAssert.AreEqual(new[] { "MBT3003", "MBT3010" }, result.Targets[0].Diagnostics.Select(d => d.Code).ToArray());
        StringAssert.Contains(result.Targets[0].Diagnostics[1].Message, "when no node is quantized");
    }

    [TestMethod]
    public void The_smallest_prefix_of_the_ranking_is_kept()
    {
        // Ten nodes, of which the weights' noise per byte falls with the number; the gate needs the first four to be float.
        using var bench = new Bench();
        bench.Pass = (model, context) =>
        {
            var rules = new Engine.Passes.Quantization.RuleSet(model, context.Rules);
            bool IsFloat(int i) => !rules.MayQuantize(new NodeProto { Name = $"n{i}", OpType = "MatMul" });
            var noise = Enumerable.Range(0, 4).Any(i => !IsFloat(i)) ? 0.5f : 0.999f;
            return new(TinyModel.Shrink(model, w => w * noise),
                [.. Enumerable.Range(0, 10).Reverse().Select(i => new Decision($"n{i}", "MatMul", IsFloat(i) ? "left" : "int8 weights", "as asked") { Sqnr = 30 + i, BytesBefore = 400, BytesAfter = 100 })], "");
        };
        bench.Gates(Bench.Gate(Metric.Sqnr, LimitKind.Min, 40));
        bench.Target = bench.Target with { OnFailure = OnFailure.Relax };
        var result = bench.Run();
        Assert.IsTrue(result.Succeeded);
        StringAssert.Contains(result.Targets[0].Diagnostics.Single().Message, "rules: [{ match: { name: '^(n0|n1|n2|n3)$' }, quantize: none }]");
        StringAssert.Contains(result.Targets[0].Diagnostics.Single().Message, "on 'tiny'");
        // Ten steps are four halvings.
        Assert.IsLessThanOrEqualTo(5, bench.Runs);
    }

    [TestMethod]
    public void Loss_per_byte_ranks_and_measured_noise_comes_before_the_weights()
    {
        Decision Of(string name, double? sqnr, double? noise, long saved) => new(name, "Conv", "int8 static", "") { Sqnr = sqnr, OutputNoise = noise, BytesBefore = 1000 + saved, BytesAfter = 1000 };
        var ranked = Relaxation.Rank([Of("large", 20, null, 10000), Of("small", 20, null, 10), Of("measured", 60, 0.9, 100), Of("good", 50, null, 10)]);
        CollectionAssert.AreEqual(new[] { "measured", "small", "good", "large" }, ranked.Select(d => d.Name).ToArray());
    }

    [TestMethod]
    public void Many_names_are_split_into_patterns_that_a_manifest_takes()
    {
        var steps = Enumerable.Range(0, 200).Select(i => new RelaxationStep($"/a.b/it's/{i}", i % 2 == 0 ? null : QuantizedForm.Weights)).ToList();
        var rules = RelaxedRules.Of(steps, default);
        Assert.IsTrue(rules.All(r => r.NamePattern!.Length <= 1000));
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File("compression.yaml"), $"version: 1\ntargets:\n  - model: {Model}\n    recipe: int8\n    {RelaxedRules.Yaml(rules)}\n");
        var read = ManifestReader.Read(folder.File("compression.yaml")).Targets[0].Rules;
        CollectionAssert.AreEqual(rules.Select(r => (r.NamePattern, r.Quantize, r.Form)).ToList(), read.Select(r => (r.NamePattern, r.Quantize, r.Form)).ToList());
        var set = new Engine.Passes.Quantization.RuleSet(new SmallModel().Model, read);
        Assert.IsFalse(set.MayQuantize(new NodeProto { Name = "/a.b/it's/10" }));
        Assert.IsTrue(set.MayQuantize(new NodeProto { Name = "/aXb/it's/10" }));
        Assert.AreEqual(QuantizedForm.Weights, set.Forms(new NodeProto { Name = "/a.b/it's/11" })!.Single());
    }

    private static string Model => TestData.Path("digits_mobile/digits_mobile.onnx").Replace('\\', '/');

    private static (CompressionResult Result, Plan Plan) Run(TemporaryFolder folder, string name, OnFailure onFailure, double sqnr, IReadOnlyList<RulePlan>? rules = null, string? cache = null)
    {
        var at = new SourceLocation("compression.yaml", 3, 5);
        var data = new DatasetPlan { Name = "random", Location = at, Inputs = new Dictionary<string, SourcePlan>() };
        var target = new TargetPlan
        {
            Name = "Digits",
            Location = at,
            ModelPath = Model,
            ModelLocation = at,
            Runtime = RuntimePolicies.Get("ort-cpu"),
            // Without the search, which gives back much of what relax would, and rounded to nearest, which is quick.
            Passes = [QuantizeTests.Plan(ActivationMode.Uint8) with { AdaRound = false }],
            Rules = rules ?? [],
            Calibration = new(data, at),
            Validation = new() { Gates = [new(Metric.Sqnr, LimitKind.Min, sqnr, at)] },
            OnFailure = onFailure,
        };
        var plan = new Plan(folder.File("compression.yaml"), new Dictionary<string, DatasetPlan>(), [target], []);
        var bench = new Workbench { Open = (_, model) => ListDataset.Random(model, 4) };
        return (Compressor.Run(new(plan, folder.File(name)) { CacheDirectory = folder.File(cache ?? name + "-cache") }, bench), plan);
    }
}
