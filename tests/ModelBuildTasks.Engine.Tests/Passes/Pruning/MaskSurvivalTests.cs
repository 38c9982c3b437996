using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Manifest.Schema;
using ModelBuildTasks.Engine.Manifest.Yaml;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Passes.Pruning;
using ModelBuildTasks.Engine.Pipeline;
using ModelBuildTasks.Engine.Tests.Passes.Quantization;
using ModelBuildTasks.Engine.Tests.Pipeline;

namespace ModelBuildTasks.Engine.Tests.Passes.Pruning;

[TestClass]
public sealed class MaskSurvivalTests
{
    [TestMethod]
    [DataRow("quantize: {}")]
    [DataRow("quantize: { activations: none }")]
    [DataRow("quantize: { activations: dynamic, per_channel: false }")]
    [DataRow("quantize: { activations: uint8, adaround: false }")]
    [DataRow("quantize: { weights: uint4, method: gptq }")]
    [DataRow("quantize: { weights: int4, method: rtn, group: channel }")]
    [DataRow("quantize: { weights: uint3, method: hqq }")]
    [DataRow("quantize: { weights: uint4, method: awq }")]
    [DataRow("quantize: { weights: ternary }")]
    [DataRow("quantize: { weights: binary }")]
    [DataRow("quantize: { weights: 4.5 bits }")]
    [DataRow("cluster: { bits: 4 }")]
    [DataRow("cluster: { bits: 3, method: kmeans }")]
    [DataRow("cluster: { entropy: 4 }")]
    [DataRow("float16: { compute: false }")]
    [DataRow("float16: { compute: true }")]
    [DataRow("store: {}")]
    [DataRow("store: { tolerance: 2% }")]
    [DataRow("prune: { amount: 60% }")]
    [DataRow("prune: { structure: '1:4' }")]
    public void Every_zero_of_pruned_weights_stays_zero_behind(string pass)
    {
        var (model, data) = Network();
        foreach (var first in new[] { "prune: { amount: 50%, method: sparsegpt, allocate: uniform }", "prune: { structure: '2:4', method: wanda }", "prune: { amount: 1%, method: magnitude, allocate: uniform }" })
        {
            var pruned = Apply(model, first, data).Model;

            var result = Apply(pruned, pass, data);

            var verdict = MaskCheck.Compare(pruned, result.Model, []);
            Assert.IsEmpty(verdict.Lost, $"{first}, {pass}: {string.Join("; ", verdict.Lost)}");
            Assert.IsEmpty(verdict.Unknown, $"{first}, {pass}: {string.Join("; ", verdict.Unknown)}");
            Assert.IsGreaterThanOrEqualTo(4, verdict.Weights);
            using var session = new Engine.Execution.Session(result.Model.ToBytes());
        }
    }

    [TestMethod]
    [DataRow("quantize: { activations: dynamic }", true)]
    [DataRow("quantize: { activations: none }", false)]
    [DataRow("cluster: { bits: 4 }", false)]
    [DataRow("float16: { compute: false }", false)]
    public void Both_weights_of_a_recurrent_node_keep_their_zeros(string pass, bool turned)
    {
        var small = new SmallModel().Input("x", 3, 1, 24).Random("w", 1, 1, 96, 24).Random("r", 2, 1, 96, 24).Output("y")
            .Node("LSTM", ["x", "w", "r"], ["y"], n => n.Set("hidden_size", 24));
        var data = ListDataset.Random(small.Model, 8);
        var pruned = Apply(small.Model, "prune: { amount: 50%, method: sparsegpt }", data).Model;
        var result = Apply(pruned, pass, data).Model;

        var verdict = MaskCheck.Compare(pruned, result, []);

        Assert.AreEqual(turned, result.Graph.Node.Any(n => n.OpType == "DynamicQuantizeLSTM"));
        Assert.AreEqual((2, 0, 0), (verdict.Weights, verdict.Lost.Count, verdict.Unknown.Count), string.Join("; ", verdict.Lost));
    }

    [TestMethod]
    [DataRow("quantize: {}")]
    [DataRow("quantize: { activations: dynamic }")]
    [DataRow("cluster: { bits: 4 }")]
    public void A_zero_that_is_lost_is_found(string pass)
    {
        var (model, data) = Network();
        var pruned = Apply(model, "prune: { amount: 50%, allocate: uniform }", data).Model;
        // What a pass is given has other zeros than what is compared.
        var other = Apply(model, "prune: { amount: 45%, method: magnitude, allocate: uniform }", data).Model;

        var verdict = MaskCheck.Compare(pruned, Apply(other, pass, data).Model, []);

        Assert.IsGreaterThanOrEqualTo(4, verdict.Lost.Count);
        var error = Assert.ThrowsExactly<ModelBuildException>(() => MaskCheck.Require(verdict, new("compression.yaml", 7, 9)));
        StringAssert.Contains(error.Message, "weights that were pruned are not zero any more");
    }

    [TestMethod]
    public void A_file_that_lost_zeros_is_not_put_in_place()
    {
        using var bench = new Bench();
        var at = new SourceLocation("compression.yaml", 6, 9);
        bench.Target = bench.Target with { Passes = [new PrunePlan(at, 0.5), new QuantizePlan(at)] };
        bench.Pass = (model, context) => bench.Runs == 1 ? Prune.Run(model, new PrunePlan(at, 0.5), context) : Bench.Done(TinyModel.Shrink(model, w => w + 0.01f));

        var result = bench.Run();

        Assert.IsFalse(result.Succeeded);
        Assert.IsFalse(File.Exists(bench.Artifact));
        Assert.AreEqual((DiagnosticCodes.ZerosLost, 6), (result.Targets[0].Diagnostics.Single().Code, result.Targets[0].Diagnostics.Single().Location?.Line));
    }

    [TestMethod]
    public void Zeros_of_an_earlier_pruning_are_looked_at_behind_a_later_one()
    {
        using var bench = new Bench();
        var (first, second) = (new SourceLocation("compression.yaml", 6, 9), new SourceLocation("compression.yaml", 7, 9));
        PrunePlan half = new(first, 0.5), tenth = new(second, 0.1);
        bench.Target = bench.Target with { Passes = [half, tenth, new QuantizePlan(second)] };
        // The second pruning is given a model that has forgotten the zeros of the first.
        bench.Pass = (model, context) => bench.Runs switch
        {
            1 => Prune.Run(model, half, context),
            2 => Prune.Run(TinyModel.Shrink(model, w => w + 0.01f), tenth, context),
            _ => Bench.Done(model),
        };

        var result = bench.Run();

        Assert.AreEqual((DiagnosticCodes.ZerosLost, 6), (result.Targets[0].Diagnostics.Single().Code, result.Targets[0].Diagnostics.Single().Location?.Line));
    }

    private static PassResult Apply(OnnxModel model, string pass, IDataset data)
    {
        var errors = new DiagnosticBag();
        var list = (ListValue)ManifestShapes.Passes.Read(YamlText.Read($"[ {{ {pass} }} ]", "test.yaml", errors)!, "passes", errors)!;
        var problems = new List<(string Message, Value At)>();
        var plan = PassBinder.Bind(list, problems).Single();
        Assert.IsEmpty(problems, string.Join(';', problems.Select(p => p.Message)));
        return new Workbench().Apply(model, plan, QuantizeTests.Context(data));
    }

    // Convolutions plain, one channel a group and 1x1, a turned and a plain product, with biases and without.
    private static (OnnxModel Model, ListDataset Data) Network()
    {
        var small = new SmallModel().Input("x", 1, 8, 6, 6)
            .Random("w1", 1, 16, 8, 3, 3).Random("b1", 2, 16).Random("w2", 3, 16, 1, 3, 3).Random("b2", 4, 16).Random("w3", 5, 32, 16, 1, 1)
            .Random("w4", 6, 64, 32).Random("b4", 7, 64).Random("w5", 8, 64, 48)
            .Node("Conv", "x,w1,b1", "a").Node("Relu", "a", "b").Node("Conv", "b,w2,b2", "c", ("group", 16)).Node("Relu", "c", "d")
            .Node("Conv", "d,w3", "e").Node("GlobalAveragePool", "e", "f").Node("Flatten", "f", "g").Node("Gemm", "g,w4,b4", "h", ("transB", 1))
            .Node("Relu", "h", "i").Node("MatMul", "i,w5", "y").Output("y");
        return (small.Model, ListDataset.Random(small.Model, 8));
    }
}
