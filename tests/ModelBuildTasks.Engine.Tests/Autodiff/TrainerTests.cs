using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.DistillationSteps;
using ModelBuildTasks.Engine.Tests.Passes.Distillation;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Tests.Autodiff;

[TestClass]
public sealed class TrainerTests
{
    private static readonly TrainerOptions _options = new() { Epochs = 8, Batch = 16, Rate = 0.02f, Patience = 20 };

    [TestMethod]
    public void A_student_learns_to_answer_like_its_teacher()
    {
        using var teacher = Network(1, 5);
        using var student = Network(9, 5);
        var losses = new List<double>();
        var result = new Trainer(student, teacher, new Points(300), _options).Run(p => losses.Add(p.Loss));
        Assert.IsLessThan(result.Before / 10, result.After);
        Assert.HasCount(result.Steps, losses);
        Assert.AreEqual(8 * (270 / 16), result.Steps);
        CollectionAssert.AreEquivalent(new[] { "w", "b", "v" }, result.Weights.ToArray());
        // The student that was given stays as it is; the one that comes back answers as it was judged.
        CollectionAssert.AreEqual(Weight(Network(9, 5), "w"), Weight(student, "w"));
        Assert.IsGreaterThan(0.9, Agreement(result.Student, teacher));
        Assert.IsLessThan(0.9, Agreement(student, teacher));
    }

    [TestMethod]
    public void The_same_seed_gives_the_same_bytes_on_any_number_of_threads()
    {
        using var teacher = Network(1, 5);
        using var student = Network(9, 5);
        byte[] run(int threads, ulong seed) => new Trainer(student, teacher, new Points(100), _options with { Epochs = 2, Threads = threads, Seed = seed }).Run().Student.ToBytes();
        var one = run(1, 0);
        Assert.IsTrue(one.SequenceEqual(run(1, 0)));
        Assert.IsTrue(one.SequenceEqual(run(3, 0)));
        Assert.IsFalse(one.SequenceEqual(run(1, 1)));
    }

    [TestMethod]
    public void The_best_weights_are_kept_when_training_goes_wrong()
    {
        using var teacher = Network(1, 5);
        // The teacher itself: nothing is better, and a high rate ruins it.
        var result = new Trainer(teacher, teacher, new Points(100), _options with { Rate = 3, Patience = 2 }).Run();
        Assert.AreEqual(0, result.Before, 1e-6);
        Assert.AreEqual(result.Before, result.After);
        CollectionAssert.AreEqual(Weight(teacher, "w"), Weight(result.Student, "w"));
        // Five trials, each with a quarter of the rate before, are enough: of 2 steps in which the rate rises, and 5.
        Assert.AreEqual(5 * 7, result.Steps);
    }

    [TestMethod]
    public void A_model_with_a_fixed_batch_beyond_that_of_a_step_is_trained_with_its_own()
    {
        using var teacher = Network(1, 5, batch: 40);
        using var student = Network(9, 5, batch: 40);
        var result = new Trainer(student, teacher, new Points(100), _options).Run();
        Assert.IsLessThan(result.Before, result.After);
    }

    [TestMethod]
    public void A_model_with_a_fixed_batch_is_run_as_often_as_a_step_needs()
    {
        using var teacher = Network(1, 5);
        using var free = Network(9, 5);
        using var student = Network(9, 5, batch: 1);
        var one = new Trainer(free, teacher, new Points(100), _options with { Epochs = 1 }).Run();
        var other = new Trainer(student, teacher, new Points(100), _options with { Epochs = 1 }).Run();
        Assert.AreEqual(one.Steps, other.Steps);
        foreach (var (a, b) in Weight(one.Student, "w").Zip(Weight(other.Student, "w")))
            Assert.AreEqual(a, b, 1e-3f);
    }

    [TestMethod]
    public void What_cannot_be_trained_says_why()
    {
        using var teacher = Network(1, 5);
        using var wide = Network(1, 5, outputs: 4);
        void refuses(string code, OnnxModel student, IDataset data, TrainerOptions options) =>
            Assert.AreEqual(code, Assert.ThrowsExactly<ModelBuildException>(() => new Trainer(student, teacher, data, options).Run()).First.Code);
        refuses(DiagnosticCodes.StudentDoesNotMatch, wide, new Points(100), _options);
        refuses(DiagnosticCodes.FewTrainingSamples, teacher, new Points(10), _options);
        refuses(DiagnosticCodes.LossNotFinite, teacher, new Points(100, float.NaN), _options);
        refuses(DiagnosticCodes.NotTrainable, teacher, new Points(100), _options with { Weights = ["nothing"] });
    }

    [TestMethod]
    public void The_rate_rises_and_falls()
    {
        Assert.AreEqual(0.25f, LearningRate.At(1, 0, 100, 0.03f), 1e-6f);
        Assert.AreEqual(1f, LearningRate.At(1, 3, 100, 0.03f), 1e-6f);
        Assert.AreEqual(0.5f, LearningRate.At(1, 50, 100, 0), 1e-6f);
        Assert.IsLessThan(0.001f, LearningRate.At(1, 99, 100, 0.03f));
    }

    [TestMethod]
    public void AdamW_follows_its_formula()
    {
        var optimizer = new AdamW(new(Decay: 0.1f));
        float[] w = [1, -2], plain = [1, -2];
        double[] m = [0, 0], v = [0, 0], expected = [1, -2];
        for (var step = 1; step <= 5; step++)
        {
            float[] g = [0.5f * step, -0.1f];
            optimizer.NextStep(0.01f);
            optimizer.Update("w", w, g);
            optimizer.Update("plain", plain, g, decay: false);
            for (var i = 0; i < 2; i++)
            {
                m[i] = (0.9 * m[i]) + (0.1 * g[i]);
                v[i] = (0.999 * v[i]) + (0.001 * g[i] * g[i]);
                expected[i] = (expected[i] * (1 - (0.01 * 0.1))) - (0.01 * (m[i] / (1 - Math.Pow(0.9, step))) / (Math.Sqrt(v[i] / (1 - Math.Pow(0.999, step))) + 1e-8));
            }
        }

        for (var i = 0; i < 2; i++)
        {
            Assert.AreEqual(expected[i], w[i], 1e-5);
            Assert.AreNotEqual(w[i], plain[i]);
        }
    }

    private static OnnxModel Network(int seed, int hidden, int outputs = 3, long batch = -1) => new SmallModel().Input("x", batch, 4)
        .Random("w", seed, 4, hidden).Random("b", seed + 1, hidden).Random("v", seed + 2, hidden, outputs)
        .Node("MatMul", "x,w", "a").Node("Add", "a,b", "c").Node("Tanh", "c", "d").Node("MatMul", "d,v", "y").Output("y").Model;

    private static float[] Weight(OnnxModel model, string name) => model.ReadFloats(model.Graph.Initializer.First(t => t.Name == name));

    private static double Agreement(OnnxModel a, OnnxModel b)
    {
        var sample = new Dictionary<string, Tensor> { ["x"] = SmallModel.Tensor(99, 200, 4) };
        float[] run(OnnxModel m)
        {
            using var session = new Session(m, new SessionSettings());
            return session.Run(sample)["y"].ToFloats();
        }

        return run(a).Chunk(3).Zip(run(b).Chunk(3)).Average(p => Array.IndexOf(p.First, p.First.Max()) == Array.IndexOf(p.Second, p.Second.Max()) ? 1.0 : 0);
    }
}
