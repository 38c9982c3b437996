using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Passes.DistillationSteps;
using ModelBuildTasks.Engine.Passes.Pruning;
using ModelBuildTasks.Engine.Tests.Passes.Quantization;
using ModelBuildTasks.Engine.Tests.Passes.Quantization.Bits;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Tests.Passes.Distillation;

[TestClass]
public sealed class GradualPruningTests
{
    private static readonly SourceLocation _at = new("compression.yaml", 7, 9);
    private static readonly DistillPlan _plan = new(_at) { Epochs = 10, Batch = 16, LearningRate = 0.01, Patience = 20, Prune = new(_at, 0.75) { Allocation = PruneAllocation.Uniform } };

    [TestMethod]
    public void Zeros_grow_along_a_cubic_curve_and_none_comes_back()
    {
        using var model = Network(1);
        var plan = _plan with { PruneUntil = 0.5 };
        var gradual = GradualPruning.Of(model, plan, QuantizeTests.Context());
        var values = Weight(model, "w");
        Dictionary<string, float[]> masks = [];
        var before = new float[values.Length];
        Array.Fill(before, 1f);
        var times = 0;
        for (var done = 1; done <= 200; done++)
        {
            // Equation 1 of the paper with s_i = 0: s_f − s_f·(1 − t/n)³.
            var share = 0.75 - 0.75 * Math.Pow(1 - Math.Min(1, done / 100.0), 3);
            Assert.AreEqual(share, 0.75 * gradual.Share(done, 200), 1e-9);
            if (!gradual.IsDue(done, 200))
                continue;
            times++;
            gradual.Grow(gradual.Share(done, 200), masks, ["w"], _ => values);
            Assert.AreEqual((int)Math.Floor(share * values.Length + 1e-6), masks["w"].Count(m => m == 0), $"{done}");
            Assert.IsTrue(masks["w"].Zip(before).All(p => p.First <= p.Second));
            // The least of what is left: none that stays is less than one that goes.
            Assert.IsLessThanOrEqualTo(values.Where((_, i) => masks["w"][i] == 1).Min(Math.Abs), values.Where((_, i) => masks["w"][i] == 0).Max(Math.Abs));
            before = masks["w"];
        }

        Assert.IsGreaterThan(30, times);
        Assert.AreEqual(0.75 * values.Length, before.Count(m => m == 0));
    }

    [TestMethod]
    public void The_share_is_reached_to_the_weight_and_a_pattern_in_every_group()
    {
        using var teacher = Network(1);
        var half = Distill.Run(teacher, _plan with { Prune = new(_at, 0.6) { Allocation = PruneAllocation.Uniform }, Epochs = 3 }, Context(teacher)).Model;
        foreach (var name in new[] { "w", "v" })
            Assert.AreEqual((int)(0.6m * Weight(half, name).Length), Weight(half, name).Count(v => v == 0));

        var pattern = Distill.Run(teacher, _plan with { Prune = new(_at, 0) { Structure = PruneStructure.Pattern, Shape = (2, 4) }, Epochs = 3 }, Context(teacher)).Model;
        // [in, out]: of each four inputs of an output two are left.
        var w = Weight(pattern, "w");
        for (var output = 0; output < 64; output++)
        {
            for (var first = 0; first < 32; first += 4)
                Assert.AreEqual(2, Enumerable.Range(first, 4).Count(i => w[i * 64 + output] == 0));
        }

        var blocks = Weight(Distill.Run(teacher, _plan with { Prune = new(_at, 0.5) { Structure = PruneStructure.Blocks, Shape = (4, 1), Allocation = PruneAllocation.Uniform }, Epochs = 3 }, Context(teacher)).Model, "w");
        Assert.AreEqual(blocks.Length / 2, blocks.Count(v => v == 0));
        for (var at = 0; at < blocks.Length; at += 4)
            Assert.IsTrue(blocks.AsSpan(at, 4).Count(0f) is 0 or 4);
    }

    [TestMethod]
    public void It_loses_less_than_pruning_at_once_and_training_behind()
    {
        using var teacher = Network(1);
        var context = Context(teacher);
        var plan = _plan with { Prune = new(_at, 0.9) { Allocation = PruneAllocation.Uniform } };

        var gradual = Distill.Run(teacher, plan, context);
        var pruned = Prune.Run(teacher, plan.Prune!, context).Model;
        var behind = Distill.Run(pruned, plan with { Prune = null }, context).Model;

        Assert.IsLessThan(Error(behind, teacher), Error(gradual.Model, teacher));
        Assert.IsLessThan(0.9 * Error(pruned, teacher), Error(gradual.Model, teacher));
        StringAssert.Contains(gradual.Summary, "2 weights were pruned");
        StringAssert.Contains(gradual.Decisions[0].Reason, "% of it is zero");
        // Later passes keep the zeros, and the same bytes come on any number of threads.
        var stored = Quantize.Run(gradual.Model, QuantizeTests.Plan(ActivationMode.None), QuantizeTests.Context()).Model;
        var verdict = MaskCheck.Compare(gradual.Model, stored, []);
        Assert.AreEqual(2, verdict.Weights);
        Assert.IsEmpty(verdict.Lost);
        Assert.IsTrue(gradual.Model.ToBytes().AsSpan().SequenceEqual(Distill.Run(teacher, plan, context with { Threads = 3 }).Model.ToBytes()));
    }

    [TestMethod]
    [DataRow("int8")]
    [DataRow("int4")]
    [DataRow("ternary")]
    public void With_quantize_in_it_what_is_stored_is_what_was_trained(string word)
    {
        using var teacher = Network(1);
        var quantize = word == "int8" ? QuantizeTests.Plan(ActivationMode.None) : BitModels.Plan(BitModels.Bits(word));
        var plan = _plan with { Quantize = quantize, Epochs = 6, Prune = new(_at, 0.5) { Allocation = PruneAllocation.Uniform } };

        var trained = Distill.Run(teacher, plan, Context(teacher)).Model;
        var stored = Quantize.Run(trained, quantize, QuantizeTests.Context()).Model;

        Assert.IsGreaterThanOrEqualTo(Weight(trained, "w").Length / 2, Weight(trained, "w").Count(v => v == 0));
        var final = new FinalWeights(stored);
        foreach (var (node, weight) in trained.Graph.Node.Where(n => n.OpType == "MatMul").Zip(["w", "v"]))
            CollectionAssert.AreEqual(Weight(trained, weight), final.Read(0, node, 1, [.. trained.Graph.Initializer.First(t => t.Name == weight).Dims], []));
        Assert.IsEmpty(MaskCheck.Compare(trained, stored, []).Lost);
    }

    [TestMethod]
    public void Where_training_helps_nothing_it_is_pruned_at_once()
    {
        using var teacher = Network(1);
        var result = Distill.Run(teacher, _plan with { LearningRate = 1e-12, Epochs = 1, Batch = 128, HeldBack = 0.3 }, Context(teacher));

        Assert.AreEqual(0.75 * Weight(teacher, "w").Length, Weight(result.Model, "w").Count(v => v == 0));
        StringAssert.Contains(result.Summary, "pruned");
    }

    [TestMethod]
    public void What_cannot_be_pruned_in_training_is_refused()
    {
        using var teacher = Network(1);
        Refused(_plan with { Quantize = BitModels.Plan(BitModels.Bits("binary")) });
        Refused(_plan with { Prune = new(_at, 0) { Structure = PruneStructure.Pattern, Shape = (2, 7) } });

        void Refused(DistillPlan plan)
        {
            var error = Assert.ThrowsExactly<ModelBuildException>(() => Distill.Run(teacher, plan, Context(teacher)));
            Assert.AreEqual((DiagnosticCodes.NotPrunedInTraining, _at), (error.First.Code, error.First.Location));
        }
    }

    private static PassContext Context(OnnxModel teacher) => QuantizeTests.Context() with { Teacher = teacher, Training = Points.Wide(300) };

    private static double Error(OnnxModel model, OnnxModel teacher)
    {
        using var one = new Session(model, new SessionSettings());
        using var other = new Session(teacher, new SessionSettings());
        return Points.Wide(400).Batches().Skip(300).Average(b => one.Run(b.Inputs)["y"].ToFloats().Zip(other.Run(b.Inputs)["y"].ToFloats()).Average(p => Math.Pow(p.First - p.Second, 2)));
    }

    private static OnnxModel Network(int seed) => new SmallModel().Input("x", -1, 32)
        .Random("w", seed, 32, 64).Random("b", seed + 1, 64).Random("v", seed + 2, 64, 32)
        .Node("MatMul", "x,w", "a").Node("Add", "a,b", "c").Node("Tanh", "c", "h").Node("MatMul", "h,v", "y").Output("y").Model;

    private static float[] Weight(OnnxModel model, string name) => model.ReadFloats(model.Graph.Initializer.First(t => t.Name == name));
}
