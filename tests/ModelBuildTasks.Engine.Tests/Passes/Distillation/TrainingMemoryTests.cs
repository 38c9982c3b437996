using ModelBuildTasks.Engine.Autodiff;
using ModelBuildTasks.Engine.Autodiff.Losses;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Passes.DistillationSteps;
using ModelBuildTasks.Engine.Tests.Passes.Quantization;
using static ModelBuildTasks.Engine.Tests.Passes.Distillation.DistillNetworks;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Tests.Passes.Distillation;

[TestClass]
public sealed class TrainingMemoryTests
{
    private static readonly DistillPlan _plan = new(new SourceLocation("compression.yaml", 7, 9)) { Epochs = 1, Batch = 128 };

    [TestMethod]
    public void Values_go_when_their_last_reader_has_run()
    {
        // x 400 B, a and b 400 B, c over b, y 4 B: x, a and b together.
        var model = new SmallModel().Input("x", 100).Node("Softmax", "x", "a").Node("Softmax", "a", "b").Node("Exp", "b", "c").Node("Reshape", "c,shape", "d").Ints("shape", 10, 10)
            .Node("ReduceMax", "d", "y", ("keepdims", 0)).Output("y").Model;
        Assert.AreEqual(1200, PeakMemory.Of(model));
    }

    [TestMethod]
    public void Activations_that_do_not_fit_are_computed_again_and_change_nothing()
    {
        using var model = QuantizeTests.Clean("digits_mobile/digits_mobile.onnx");
        var sample = new Dictionary<string, Tensor> { ["image"] = SmallModel.Tensor(1, 32, 1, 28, 28) };
        var request = new GradientRequest(Parameters.Of(model), [new(LossKind.Divergence, "logits")], sample);
        var all = PeakMemory.Of(TrainingMemory.Build(model, request, 4_000_000_000).Model);
        var parameters = 8 * 4 * request.Weights.Sum(w => model.Graph.Initializer.First(t => t.Name == w).Dims.Aggregate(1L, (a, b) => a * b));
        var few = TrainingMemory.Build(model, request, parameters + (all * 4 / 5));
        Assert.IsLessThanOrEqualTo(all * 4 / 5, PeakMemory.Of(few.Model));
        Assert.IsGreaterThan(few.Outputs.Count, few.Model.Graph.Node.Count(n => n.Input.Any(i => i.StartsWith("again:", StringComparison.Ordinal))));
        var error = Assert.ThrowsExactly<ModelBuildException>(() => TrainingMemory.Build(model, request, parameters + (all / 100))).First;
        Assert.AreEqual(DiagnosticCodes.TrainingTooLarge, error.Code);
        StringAssert.Contains(error.Message, "activations of 32 samples");
    }

    [TestMethod]
    public void Training_gives_the_same_bytes_with_much_and_with_little_memory()
    {
        using var teacher = Deep(1);
        using var student = Deep(40);
        var context = Context(teacher, new RandomSamples(300, 16));
        byte[] run(long memory) => Distill.Run(student, _plan with { Memory = memory }, context).Model.ToBytes();
        var plain = run(4_000_000_000);
        var request = new GradientRequest(Parameters.Of(student), [new(LossKind.Divergence, "h11")], new Dictionary<string, Tensor> { ["x"] = SmallModel.Tensor(1, 128, 16) });
        var needed = PeakMemory.Of(Gradients.Build(student, request).Model) + (8 * 4 * 12 * 16 * 16);
        Assert.IsTrue(plain.SequenceEqual(run(needed * 9 / 10)));
        Refused(DiagnosticCodes.TrainingTooLarge, () => run(needed / 10));
    }

    [TestMethod]
    public void A_batch_that_no_array_can_hold_is_told_before_training()
    {
        using var teacher = new SmallModel().Input("x", -1, 1 << 16).Random("w", 1, 1 << 16, 2).Node("MatMul", "x,w", "y").Output("y").Model;
        Assert.AreEqual(1 << 20, TrainingMemory.Together(1 << 10, 1 << 10));
        Refused(DiagnosticCodes.TrainingTooLarge, () => TrainingMemory.Together(1 << 20, 1 << 16));
    }

    [TestMethod]
    public void An_allocation_that_fails_in_the_runtime_is_told_with_what_helps()
    {
        // A value of 2^50 bytes and more, which no machine has: ONNX Runtime is refused it at once.
        OnnxModel vast(int seed) => new SmallModel().Input("x", -1, 2).Random("w", seed, 2, 1 << 20).Ints("rows", 0, 1, 1 << 20).Ints("columns", 0, 1 << 20, 1)
            .Node("MatMul", "x,w", "a").Node("Reshape", "a,rows", "b").Node("Reshape", "a,columns", "c").Node("Mul", "b,c", "d").Node("ReduceMean", "d", "e", ("axes", new long[] { 1 }), ("keepdims", 0))
            .Node("ReduceMean", "e", "y", ("axes", new long[] { 1 }), ("keepdims", 1)).Output("y").Model;
        using var student = vast(1);
        using var teacher = new SmallModel().Input("x", -1, 2).Random("w", 1, 2, 1).Node("MatMul", "x,w", "z").Node("Tanh", "z", "y").Output("y").Model;
        var data = new RandomSamples(600, 2);
        var plan = _plan with { Batch = 512, Memory = long.MaxValue / 4 };
        var error = Assert.ThrowsExactly<ModelBuildException>(() => Distill.Run(student, plan, Context(teacher, data))).First;
        Assert.AreEqual(DiagnosticCodes.TrainingOutOfMemory, error.Code, error.Message);
        Assert.AreEqual(_plan.Location, error.Location);
        // Within the bound that stands when nothing is said it is found out before anything runs.
        Refused(DiagnosticCodes.TrainingTooLarge, () => Distill.Run(student, plan with { Memory = 4_000_000_000 }, Context(teacher, data)));
    }

    private static OnnxModel Deep(int seed)
    {
        var small = new SmallModel().Input("x", -1, 16);
        for (var i = 0; i < 12; i++)
            small.Random($"w{i}", seed + i, 16, 16).Node("MatMul", $"{(i == 0 ? "x" : $"h{i - 1}")},w{i}", $"a{i}").Node("Tanh", $"a{i}", $"h{i}");
        return small.Node("Softmax", "h11", "y", ("axis", -1)).Output("y").Model;
    }
}
