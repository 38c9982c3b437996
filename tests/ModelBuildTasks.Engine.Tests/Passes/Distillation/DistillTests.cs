using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Tests.Passes.Quantization;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Tests.Passes.Distillation;

[TestClass]
public sealed class DistillTests
{
    private static readonly SourceLocation _at = new("compression.yaml", 7, 9);
    private static readonly DistillPlan _plan = new(_at) { Epochs = 8, Batch = 16, LearningRate = 0.02, Patience = 20, Temperature = 1 };

    [TestMethod]
    public void A_model_learns_to_answer_like_the_original()
    {
        using var teacher = Network(1, 5);
        using var student = Network(9, 5);
        var told = new List<string>();
        var result = Distill.Run(student, _plan, Context(teacher) with { ProgressText = (text, _) => told.Add(text) });
        Assert.IsLessThan(0.9, Agreement(student, teacher));
        Assert.IsGreaterThan(0.9, Agreement(result.Model, teacher));
        // Every weight has its row, and biases are trained, too.
        CollectionAssert.AreEqual(new[] { "'w' moved by", "'b' moved by", "'v' moved by" }, result.Decisions.Select(d => d.Reason[..12]).ToArray());
        Assert.IsTrue(result.Decisions.All(d => d.What == "trained" && d.BytesAfter == d.BytesBefore));
        StringAssert.Contains(result.Summary, "loss on held-back samples");
        StringAssert.Contains(told[^1], " held back, 0 s left");
        CollectionAssert.AreEqual(Weight(Network(9, 5), "w"), Weight(student, "w"));
    }

    [TestMethod]
    public void Zeros_of_pruned_weights_stay_and_the_rest_moves()
    {
        using var teacher = Network(1, 8);
        using var student = Network(1, 8);
        var pruned = Prune.Run(student, new PrunePlan(_at, 0.5), Context(teacher)).Model;
        var result = Distill.Run(pruned, _plan, Context(teacher));
        foreach (var name in new[] { "w", "v" })
        {
            var (before, after) = (Weight(pruned, name), Weight(result.Model, name));
            Assert.AreEqual(before.Length / 2, before.Count(v => v == 0));
            CollectionAssert.AreEqual(before.Select(v => v == 0).ToArray(), after.Select(v => v == 0).ToArray());
            Assert.AreNotEqual(before.Sum(), after.Sum());
        }

        Assert.IsGreaterThan(Agreement(pruned, teacher), Agreement(result.Model, teacher));
        StringAssert.Contains(result.Summary, "2 pruned weights kept their zeros");
    }

    [TestMethod]
    public void Values_are_told_apart_where_scores_are_not()
    {
        // A network that gives three numbers with one offset: as scores of classes they are the same without it.
        static OnnxModel Regressor(float offset) => new SmallModel().Input("x", -1, 4).Random("w", 1, 4, 3).Floats("b", [3], offset, offset, offset).Node("Gemm", "x,w,b", "y").Output("y").Model;
        using var teacher = Regressor(1);
        using var student = Regressor(0);
        OnnxModel run(OutputLoss loss) => Distill.Run(student, _plan with { Loss = loss }, Context(teacher)).Model;
        double distance(OnnxModel model) => Answer(model, "y").Zip(Answer(teacher, "y")).Average(p => Math.Abs(p.First - p.Second));
        Assert.IsGreaterThan(0.5, distance(run(OutputLoss.Auto)));
        Assert.IsGreaterThan(0.5, distance(run(OutputLoss.Scores)));
        Assert.IsLessThan(0.25, distance(run(OutputLoss.Values)));
    }

    [TestMethod]
    public void A_model_in_float16_is_trained_in_float32_and_stays_in_float16()
    {
        static OnnxModel Half(int seed)
        {
            var small = new SmallModel().Input("x", DataType.Float16, -1, 4).Node("MatMul", "x,w", "a").Node("Tanh", "a", "d").Node("MatMul", "d,v", "y").Output("y", DataType.Float16);
            foreach (var (name, number, dims) in new[] { ("w", seed, new long[] { 4, 5 }), ("v", seed + 1, [5, 3]) })
                small.Graph.Initializer.Add(small.Model.CreateTensor<Half>(name, DataType.Float16, dims, [.. SmallModel.Values(number, (int)(dims[0] * dims[1])).Select(v => (Half)v)]));
            return small.Model;
        }

        using var teacher = Half(1);
        using var student = Half(9);
        var context = Context(teacher) with { Training = new HalfPoints(300) };
        foreach (var loss in new[] { OutputLoss.Auto, OutputLoss.Values })
        {
            var result = Distill.Run(student, _plan with { Loss = loss }, context);
            Assert.IsTrue(result.Model.Graph.Initializer.All(t => (DataType)t.DataType == DataType.Float16) && result.Model.Graph.Node.Count == 3);
            CollectionAssert.AreEqual(new[] { 40L, 30L }, result.Decisions.Select(d => d.BytesAfter).ToArray());
            double distance(OnnxModel model) => HalfPoints.Answers(model).Zip(HalfPoints.Answers(teacher)).Average(p => Math.Abs(p.First - p.Second));
            Assert.IsLessThan((loss == OutputLoss.Values ? 0.5 : 0.9) * distance(student), distance(result.Model), $"{loss}");
        }

        foreach (var (code, plan) in new[] { ("MBT2049", _plan with { Quantize = new(_at) }), ("MBT2062", _plan with { Method = DistillMethod.Blockwise }) })
            Assert.AreEqual(code, Assert.ThrowsExactly<ModelBuildException>(() => Distill.Run(student, plan, context)).First.Code);
    }

    private sealed class HalfPoints(int count) : IDataset
    {
        public long Count => count;

        public bool HasLabels => false;

        public string Description => "points in float16";

        public string ContentHash => "";

        public IEnumerable<Batch> Batches() => Enumerable.Range(0, count).Select(i => new Batch(new Dictionary<string, Tensor> { ["x"] = Point(i) }, null, 1));

        public static float[] Answers(OnnxModel model)
        {
            using var session = new Session(model, new SessionSettings());
            return [.. Enumerable.Range(1000, 50).SelectMany(i => session.Run(new Dictionary<string, Tensor> { ["x"] = Point(i) })["y"].ToFloats())];
        }

        private static Tensor Point(int seed) => Tensor.Of<Half>(DataType.Float16, [1, 4], [.. SmallModel.Values(seed, 4).Select(v => (Half)v)]);
    }

    [TestMethod]
    public void A_single_number_has_no_scores()
    {
        using var teacher = Network(1, 5, outputs: 1);
        using var student = Network(9, 5, outputs: 1);
        Assert.AreEqual("MBT2045", Assert.ThrowsExactly<ModelBuildException>(() => Distill.Run(student, _plan with { Loss = OutputLoss.Scores }, Context(teacher))).First.Code);
    }

    [TestMethod]
    public void Labels_teach_what_the_original_does_not_know()
    {
        using var teacher = Network(1, 5);
        using var truth = Network(21, 5);
        using var student = Network(9, 5);
        var data = new Points(300, labels: truth);
        OnnxModel run(double share) => Distill.Run(student, _plan with { Labels = share }, Context(teacher) with { Training = data }).Model;
        double right(double share) => Agreement(run(share), truth);
        double same(double share) => Agreement(run(share), teacher);
        Assert.IsGreaterThan(right(0) + 0.1, right(1));
        Assert.IsGreaterThan(same(1) + 0.1, same(0));
        Assert.IsGreaterThan(right(0), right(0.5));
    }

    [TestMethod]
    public void Values_inside_are_compared_where_that_is_asked_for()
    {
        using var teacher = Network(1, 5);
        using var student = Network(9, 5);
        var plain = Distill.Run(student, _plan, Context(teacher)).Model;
        foreach (var plan in new[] { _plan with { Hidden = [new("d")] }, _plan with { HiddenAuto = true }, _plan with { Hidden = [new("d")], HiddenLoss = HiddenLoss.Cosine } })
        {
            var hidden = Distill.Run(student, plan with { HiddenWeight = 10 }, Context(teacher)).Model;
            Assert.IsLessThan(Distance(plain, teacher, plan.HiddenLoss), Distance(hidden, teacher, plan.HiddenLoss));
        }

        Refused(DiagnosticCodes.StudentDoesNotMatch, student, _plan with { Hidden = [new("nothing")] }, Context(teacher));
    }

    [TestMethod]
    public void Another_student_takes_the_models_place()
    {
        using var teacher = Network(1, 5);
        using var student = Network(9, 3);
        var plan = _plan with { Student = new(_at, "student.onnx") };
        var result = Distill.Run(teacher, plan, Context(teacher) with { Student = student });
        CollectionAssert.AreEqual(new long[] { 4, 3 }, result.Model.Graph.Initializer.First(t => t.Name == "w").Dims.ToArray());
        Assert.IsGreaterThan(Agreement(student, teacher), Agreement(result.Model, teacher));
        using var other = Network(9, 3, input: "z");
        Refused(DiagnosticCodes.StudentDoesNotMatch, teacher, plan, Context(teacher) with { Student = other });
    }

    [TestMethod]
    public void New_weights_come_from_the_seed_alone()
    {
        using var teacher = Network(1, 5);
        using var student = Network(9, 5);
        var scratch = _plan with { Scratch = true, Epochs = 1 };
        byte[] run(OnnxModel model, DistillPlan plan, int threads = 1) => Distill.Run(model, plan, Context(teacher) with { Threads = threads }).Model.ToBytes();
        var first = run(student, scratch);
        // Not from the weights that were there, and not from the number of threads.
        Assert.IsTrue(first.SequenceEqual(run(Network(5, 5), scratch, threads: 3)));
        Assert.IsFalse(first.SequenceEqual(run(student, scratch with { Seed = 1 })));
        Assert.IsFalse(first.SequenceEqual(run(student, _plan with { Epochs = 1 })));
        Assert.IsGreaterThan(0.8, Agreement(Distill.Run(student, scratch with { Epochs = 12 }, Context(teacher)).Model, teacher));
    }

    [TestMethod]
    public void Weights_that_training_does_not_make_better_stay()
    {
        using var teacher = Network(1, 5);
        var result = Distill.Run(teacher, _plan with { LearningRate = 3, Patience = 1 }, Context(teacher));
        CollectionAssert.AreEqual(Weight(teacher, "w"), Weight(result.Model, "w"));
        Assert.IsTrue(result.Decisions.All(d => d.What == "left" && d.Reason.Contains("no better", StringComparison.Ordinal)));
        StringAssert.Contains(result.Summary, "the weights stay");
    }

    [TestMethod]
    public void Weights_are_trained_as_quantize_stores_them_and_keep_their_zeros()
    {
        using var teacher = Network(1, 64);
        using var student = Network(1, 64);
        var context = Context(teacher);
        var pruned = Prune.Run(student, new PrunePlan(_at, 0.5), context).Model;
        var quantize = new QuantizePlan(_at) { Bits = new(2) { Symmetric = true }, Activations = ActivationMode.None };
        var plan = _plan with { LearningRate = 0.005, Quantize = quantize };
        double error(OnnxModel model) => Distance(Quantize.Run(model, quantize, context).Model, teacher, HiddenLoss.Mse, "y");
        var trained = Distill.Run(pruned, plan, context).Model;
        Assert.IsLessThan(0.7 * error(pruned), error(trained));
        Assert.IsLessThan(error(Distill.Run(pruned, _plan with { LearningRate = 0.005 }, context).Model), error(trained));
        // What quantize stores is what was trained, and what was cut stays cut.
        Assert.AreEqual(Distance(trained, teacher, HiddenLoss.Mse, "y"), error(trained), 1e-6);
        foreach (var (before, after) in Weight(pruned, "w").Zip(Weight(trained, "w")))
            Assert.IsTrue(before != 0 || after == 0);
    }

    [TestMethod]
    public void A_single_number_is_no_score()
    {
        // The divergence of a softmax of one score is zero whatever the score is.
        using var teacher = Network(1, 5, outputs: 1);
        using var student = Network(9, 5, outputs: 1);
        var result = Distill.Run(student, _plan, Context(teacher));
        Assert.IsTrue(result.Decisions.All(d => d.What == "trained"));
        Assert.IsLessThan(Distance(student, teacher, HiddenLoss.Mse, "y") / 4, Distance(result.Model, teacher, HiddenLoss.Mse, "y"));
    }

    [TestMethod]
    public void It_ends_where_it_is_cancelled()
    {
        using var teacher = Network(1, 5);
        using var student = Network(9, 5);
        using var source = new CancellationTokenSource();
        var steps = 0;
        var context = Context(teacher) with
        {
            Cancellation = source.Token,
            ProgressText = (_, _) =>
            {
                if (++steps == 3)
                    source.Cancel();
            },
        };
        Assert.Throws<OperationCanceledException>(() => Distill.Run(student, _plan, context));
        Assert.AreEqual(3, steps);
    }

    [TestMethod]
    public void What_fails_has_a_code_and_the_place_of_the_pass()
    {
        using var teacher = Network(1, 5);
        using var wide = Network(1, 5, outputs: 4);
        var context = Context(teacher);
        Refused(DiagnosticCodes.LossNotFinite, teacher, _plan, context with { Training = new Points(300, value: float.NaN) });
        Refused(DiagnosticCodes.StudentDoesNotMatch, wide, _plan, context);
        Refused(DiagnosticCodes.FewTrainingSamples, teacher, _plan, context with { Training = new Points(10) });
        Refused(DiagnosticCodes.DataMissing, teacher, _plan with { Labels = 0.5 }, context);
        Refused(DiagnosticCodes.DataMissing, teacher, _plan, context with { Training = null });
        Refused(DiagnosticCodes.DataMissing, teacher, _plan, context with { Teacher = null });
    }

    [TestMethod]
    public void A_gradient_that_is_no_number_at_any_rate_is_an_error()
    {
        // The root of what a Relu makes zero: the loss is finite, and zero times infinity is not.
        static OnnxModel rooted(int seed) => new SmallModel().Input("x", -1, 4).Random("w", seed, 4, 6).Floats("less", [6], -9, -9, -9, 1, 1, 1).Random("v", seed + 1, 6, 3)
            .Node("MatMul", "x,w", "a").Node("Add", "a,less", "b").Node("Relu", "b", "c").Node("Sqrt", "c", "d").Node("MatMul", "d,v", "y").Output("y").Model;
        using var teacher = rooted(1);
        Refused(DiagnosticCodes.LossNotFinite, rooted(7), _plan, Context(teacher));
    }

    [TestMethod]
    public void Scores_are_not_compared_with_probabilities_when_scores_were_asked_for()
    {
        static OnnxModel network(bool softmax)
        {
            var small = new SmallModel().Input("x", -1, 4).Random("w", 1, 4, 3);
            return (softmax ? small.Node("MatMul", "x,w", "a").Node("Softmax", "a", "y") : small.Node("MatMul", "x,w", "y")).Output("y").Model;
        }

        foreach (var softmax in new[] { true, false })
        {
            using var teacher = network(softmax);
            Refused(DiagnosticCodes.StudentDoesNotMatch, network(!softmax), _plan with { Loss = OutputLoss.Scores }, Context(teacher));
        }
    }

    [TestMethod]
    public void A_training_of_a_few_steps_is_judged_and_kept()
    {
        using var teacher = Network(1, 5);
        using var student = Network(9, 5);
        // Fewer than a trial of the learning rate has.
        var result = Distill.Run(student, _plan with { Steps = 4 }, Context(teacher));
        StringAssert.Contains(result.Summary, "4 steps, loss on held-back samples");
        Assert.AreNotEqual(Weight(student, "w").Sum(), Weight(result.Model, "w").Sum());
    }

    [TestMethod]
    public void Samples_of_different_shapes_and_labels_of_no_class_are_refused()
    {
        using var teacher = new SmallModel().Input("x", -1, -1, 4).Random("w", 1, 4, 3).Node("MatMul", "x,w", "m").Node("ReduceMean", "m", "y", ("axes", new long[] { 1 }), ("keepdims", 0)).Output("y").Model;
        var mixed = new ListDataset([.. Enumerable.Range(0, 100).Select(i => new Batch(new Dictionary<string, Tensor> { ["x"] = SmallModel.Tensor(i, 1, i == 90 ? 6 : 5, 4) }, null, 1))]);
        Refused(DiagnosticCodes.UnknownTrainingShape, teacher, _plan, Context(teacher) with { Training = mixed });

        using var dense = Network(1, 5);
        foreach (var label in new long[] { 3, -1 })
        {
            var labelled = new LabelledPoints([.. Enumerable.Range(0, 100).Select(i => new Batch(new Dictionary<string, Tensor> { ["x"] = SmallModel.Tensor(i, 1, 4) }, [i == 77 ? label : 0], 1))]);
            Refused(DiagnosticCodes.StudentDoesNotMatch, dense, _plan with { Labels = 0.5 }, Context(dense) with { Training = labelled });
        }
    }

    private sealed class LabelledPoints(IReadOnlyList<Batch> batches) : IDataset
    {
        public long Count => batches.Count;

        public bool HasLabels => true;

        public string Description => "labelled";

        public string ContentHash => "";

        public IEnumerable<Batch> Batches() => batches;
    }

    private static void Refused(string code, OnnxModel student, DistillPlan plan, PassContext context)
    {
        var error = Assert.ThrowsExactly<ModelBuildException>(() => Distill.Run(student, plan, context)).First;
        Assert.AreEqual(code, error.Code, error.Message);
        Assert.AreEqual(_at, error.Location);
    }

    private static PassContext Context(OnnxModel teacher) => new(RuntimePolicies.Get("ort-cpu"), []) { Training = new Points(300), Teacher = teacher };

    private static OnnxModel Network(int seed, int hidden, int outputs = 3, string input = "x") => new SmallModel().Input(input, -1, 4)
        .Random("w", seed, 4, hidden).Random("b", seed + 1, hidden).Random("v", seed + 2, hidden, outputs)
        .Node("MatMul", $"{input},w", "a").Node("Add", "a,b", "c").Node("Tanh", "c", "d").Node("MatMul", "d,v", "y").Output("y").Model;

    private static float[] Weight(OnnxModel model, string name) => model.ReadFloats(model.Graph.Initializer.First(t => t.Name == name));

    private static double Agreement(OnnxModel a, OnnxModel b) =>
        Answer(a, "y").Chunk(3).Zip(Answer(b, "y").Chunk(3)).Average(p => Array.IndexOf(p.First, p.First.Max()) == Array.IndexOf(p.Second, p.Second.Max()) ? 1.0 : 0);

    private static double Distance(OnnxModel a, OnnxModel b, HiddenLoss kind, string value = "d")
    {
        var (x, y) = (Answer(a, value), Answer(b, value));
        if (kind == HiddenLoss.Mse)
            return x.Zip(y).Average(p => (p.First - p.Second) * (p.First - p.Second));
        double cosine(float[] p, float[] q) => p.Zip(q).Sum(v => v.First * v.Second) / Math.Sqrt(p.Sum(v => v * v) * q.Sum(v => v * v));
        return 1 - x.Chunk(5).Zip(y.Chunk(5)).Average(p => cosine(p.First, p.Second));
    }

    private static float[] Answer(OnnxModel model, string value)
    {
        var clone = model.Clone();
        if (value != "y")
            clone.Graph.Output.Add(new ValueInfoProto { Name = value });
        using var session = new Session(clone, new SessionSettings());
        return session.Run(new Dictionary<string, Tensor> { ["x"] = SmallModel.Tensor(99, 200, 4) })[value].ToFloats();
    }
}
