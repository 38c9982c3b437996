using ModelBuildTasks.Engine.Autodiff;
using ModelBuildTasks.Engine.Autodiff.Losses;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Tests.Autodiff;

[TestClass]
public sealed class GradientsTests
{
    private static readonly Dictionary<string, Tensor> _none = [];

    [TestMethod]
    public void An_operator_without_a_rule_is_named_before_anything_runs()
    {
        var model = new SmallModel().Random("w", 1, 4, 4).Random("v", 2, 3, 3).Node("Det", "w", "d").Node("Mul", "d,v", "y").Output("y").Model;
        var error = Assert.ThrowsExactly<ModelBuildException>(() => Gradients.Build(model, new(["w"], [new(LossKind.SquaredError, "y")], _none)));
        Assert.AreEqual(DiagnosticCodes.NoGradientRule, error.First.Code);
        StringAssert.Contains(error.Message, "Det 'Det_d'");
        // What is behind it can be trained.
        Assert.IsTrue(Gradients.Build(model, new(["v"], [new(LossKind.SquaredError, "y")], _none)).Outputs.ContainsKey("v"));
    }

    [TestMethod]
    public void It_is_said_which_weights_can_be_trained()
    {
        var model = new SmallModel().Input("x", 2, 4).Random("w", 1, 4, 4).Random("v", 2, 4, 3).Random("u", 3, 2, 2)
            .Node("MatMul", "x,w", "a").Node("MatMul", "a,v", "b").Node("Det", "u", "d").Node("Mul", "d,b", "y").Output("y").Model;
        var all = Trainability.Of(model, ["y"], new Dictionary<string, Tensor> { ["x"] = SmallModel.Tensor(1, 2, 4) }, []);
        CollectionAssert.AreEquivalent(new[] { "v", "w" }, all.Where(w => w.Reason is null).Select(w => w.Weight).ToArray());
        StringAssert.Contains(all.Single(w => w.Reason is not null).Reason, "Det");
    }

    [TestMethod]
    public void A_weight_before_and_beside_a_stop_is_no_weight_that_can_be_trained()
    {
        // One way is free and the other is not: the gradient would be wrong.
        var model = new SmallModel().Random("w", 1, 3, 3).Node("Det", "w", "d").Node("Mul", "d,w", "y").Output("y").Model;
        Assert.IsNotNull(Trainability.Of(model, ["y"], _none, []).Single().Reason);
    }

    [TestMethod]
    public void What_is_no_weight_is_refused()
    {
        var model = new SmallModel().Input("x", 2).Random("w", 1, 2).Ints("i", 1, 2).Node("Mul", "x,w", "y").Node("Shape", "i", "s").Output("y", "s").Model;
        foreach (var name in new[] { "x", "i", "nothing" })
            Assert.AreEqual(DiagnosticCodes.NotTrainable, Assert.ThrowsExactly<ModelBuildException>(() => Gradients.Build(model, new([name], [new(LossKind.SquaredError, "y")], new Dictionary<string, Tensor> { ["x"] = SmallModel.Tensor(1, 2) }))).First.Code);
    }

    [TestMethod]
    public void Losses_have_the_values_of_their_formulas()
    {
        // Two positions, three classes on axis 1.
        var model = new SmallModel().Floats("w", [1, 3, 2], 1, 0.5f, 2, -1, 0, 3).Node("Identity", "w", "y").Output("y").Model;
        LossTerm[] terms =
        [
            new(LossKind.Divergence, "y") { Axis = 1, Temperature = 2, Weight = 0.5f },
            new(LossKind.SquaredError, "y"),
            new(LossKind.Cosine, "y") { Axis = 1 },
            new(LossKind.CrossEntropy, "y") { Axis = 1, Weight = 2 },
        ];
        var graph = Gradients.Build(model, new(["w"], terms, _none));
        Assert.AreEqual(2, graph.Targets.Distinct().Count());
        double[] y = [1, 0.5, 2, -1, 0, 3], t = [0, 1, 1, 1, -2, 0.5];
        using var session = new Session(graph.Model, new SessionSettings());
        var inputs = new Dictionary<string, Tensor>
        {
            ["w"] = Tensor.Of<float>(DataType.Float, [1, 3, 2], [.. y.Select(v => (float)v)]),
            [graph.Targets[0]] = Tensor.Of<float>(DataType.Float, [1, 3, 2], [.. t.Select(v => (float)v)]),
            [graph.Targets[3]] = Tensor.Of<long>(DataType.Int64, [1, 2], [2, 0]),
        };
        var results = session.Run(inputs);

        double[] column(double[] x, int i) => [x[i], x[i + 2], x[i + 4]];
        double[] soft(double[] x, double s) => [.. x.Select(v => Math.Exp(v / s) / x.Sum(u => Math.Exp(u / s)))];
        double[] expected =
        [
            4 * Enumerable.Range(0, 2).Average(i => soft(column(t, i), 2).Zip(soft(column(y, i), 2), (p, q) => p * Math.Log(p / q)).Sum()),
            y.Zip(t, (a, b) => (a - b) * (a - b)).Average(),
            1 - Enumerable.Range(0, 2).Average(i => column(y, i).Zip(column(t, i), (a, b) => a * b).Sum() / Math.Sqrt(column(y, i).Sum(a => a * a) * column(t, i).Sum(a => a * a))),
            -(Math.Log(soft(column(y, 0), 1)[2]) + Math.Log(soft(column(y, 1), 1)[0])) / 2,
        ];
        for (var i = 0; i < 4; i++)
            Assert.AreEqual(expected[i], results[graph.Terms[i]].As<float>()[0], 1e-5, terms[i].Kind.ToString());
        Assert.AreEqual(expected.Zip(terms, (e, term) => e * term.Weight).Sum(), results[graph.Loss].As<float>()[0], 1e-5);

        // The gradient along a direction, against differences of the formulas.
        double total(double[] x) => terms.Select((_, k) => k).Sum(k => terms[k].Weight * k switch
        {
            0 => 4 * Enumerable.Range(0, 2).Average(i => soft(column(t, i), 2).Zip(soft(column(x, i), 2), (p, q) => p * Math.Log(p / q)).Sum()),
            1 => x.Zip(t, (a, b) => (a - b) * (a - b)).Average(),
            2 => 1 - Enumerable.Range(0, 2).Average(i => column(x, i).Zip(column(t, i), (a, b) => a * b).Sum() / Math.Sqrt(column(x, i).Sum(a => a * a) * column(t, i).Sum(a => a * a))),
            _ => -(Math.Log(soft(column(x, 0), 1)[2]) + Math.Log(soft(column(x, 1), 1)[0])) / 2,
        });
        var gradient = results[graph.Outputs["w"]].ToFloats();
        for (var i = 0; i < 6; i++)
        {
            var (up, down) = ((double[])y.Clone(), (double[])y.Clone());
            (up[i], down[i]) = (y[i] + 1e-5, y[i] - 1e-5);
            Assert.AreEqual((total(up) - total(down)) / 2e-5, gradient[i], 1e-5);
        }
    }

    [TestMethod]
    public void Renamed_tensors_change_nothing_but_names()
    {
        static OnnxModel model(string w, string v) => new SmallModel().Input("x", 2, 4).Random(w, 1, 4, 4).Random(v, 2, 4, 3).Node("MatMul", $"x,{w}", "a").Node("Relu", "a", "b").Node("MatMul", $"b,{v}", "y").Output("y").Model;
        var sample = new Dictionary<string, Tensor> { ["x"] = SmallModel.Tensor(1, 2, 4) };
        static string[] ops(GradientGraph g) => [.. g.Model.Graph.Node.Select(n => n.OpType)];
        CollectionAssert.AreEqual(
            ops(Gradients.Build(model("w", "v"), new(["w", "v"], [new(LossKind.SquaredError, "y")], sample))),
            ops(Gradients.Build(model("zz", "aa"), new(["zz", "aa"], [new(LossKind.SquaredError, "y")], sample))));
    }

    [TestMethod]
    public void Branches_that_the_sample_decides_are_trained_through()
    {
        GraphProto branch(string weight, string result)
        {
            var graph = new GraphProto { Name = result };
            graph.Node.Add(SmallModel.NodeOf("Mul", $"x,{weight}", result));
            graph.Output.Add(new ValueInfoProto { Name = result });
            return graph;
        }

        var model = new SmallModel().Input("x", 3).Input("rate", DataType.Int64, []).Random("w", 1, 3).Random("v", 2, 3).Longs("k", [], 8)
            .Node("Equal", "rate,k", "c").Node("If", "c", "y", ("then_branch", branch("w", "t")), ("else_branch", branch("v", "t"))).Output("y", DataType.Float).Model;
        var sample = new Dictionary<string, Tensor> { ["x"] = SmallModel.Tensor(1, 3), ["rate"] = Tensor.Of<long>(DataType.Int64, [], [8]) };
        var graph = Gradients.Build(model, new(["w", "v"], [new(LossKind.SquaredError, "y")], sample) { Constants = ["rate"] });
        CollectionAssert.AreEqual(new[] { "w" }, graph.Outputs.Keys.ToArray());
        var error = Assert.ThrowsExactly<ModelBuildException>(() => Gradients.Build(model, new(["w"], [new(LossKind.SquaredError, "y")], sample)));
        Assert.AreEqual(DiagnosticCodes.NoGradientRule, error.First.Code);
    }

    [TestMethod]
    public void Activations_that_are_computed_again_give_the_same_gradients()
    {
        using var original = OnnxModel.Load(TestData.Path("digits_mobile/digits_mobile.onnx"));
        var model = Cleanup.Run(original, new PassContext(Engine.Manifest.RuntimePolicies.Get("ort-cpu"), [])).Model;
        var sample = new Dictionary<string, Tensor> { ["image"] = SmallModel.Tensor(1, 8, 1, 28, 28) };
        var weights = Parameters.Of(model);
        GradientGraph graph(long? budget) => Gradients.Build(model, new(weights, [new(LossKind.Divergence, "logits")], sample) { ActivationBudget = budget });
        byte[] run(GradientGraph graph)
        {
            var inputs = sample.Concat(weights.ToDictionary(w => w, w => model.Graph.Initializer.First(t => t.Name == w) is var tensor ? Tensor.Of<float>(DataType.Float, [.. tensor.Dims], model.ReadFloats(tensor)) : null!)).ToDictionary();
            inputs[graph.Targets[0]] = SmallModel.Tensor(2, 8, 10);
            using var session = new Session(graph.Model, new SessionSettings());
            return [.. session.Run(inputs, [graph.Loss, .. weights.Select(w => graph.Outputs[w])]).Values.SelectMany(v => v.Bytes)];
        }

        var all = graph(null);
        var few = graph(500_000);
        var forwards = all.Model.Graph.Node.Count(n => n.Is("Conv"));
        Assert.IsGreaterThan(forwards, few.Model.Graph.Node.Count(n => n.Is("Conv")));
        Assert.AreEqual(forwards, graph(1L << 40).Model.Graph.Node.Count(n => n.Is("Conv")));
        Assert.IsTrue(run(all).SequenceEqual(run(few)));

        // ONNX Runtime does not merge the copies with what they copy.
        var path = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName());
        try
        {
            using (new Session(few.Model, new SessionSettings { OptimizedModelPath = path }))
            using (var optimized = OnnxModel.Load(path))
                Assert.IsGreaterThan(forwards, optimized.Graph.Node.Count(n => n.OpType is "Conv" or "FusedConv"));
        }
        finally
        {
            File.Delete(path);
        }
    }

    [TestMethod]
    public void Axes_that_come_from_outside_are_not_taken_for_all()
    {
        var model = new SmallModel(18).Input("axes", Engine.Onnx.TensorProto.Types.DataType.Int64, 1).Input("x", 3, 4).Random("w", 1, 3, 4).Node("Mul", "x,w", "m").Node("ReduceSum", "m,axes", "y", ("keepdims", 1)).Output("y").Model;
        var sample = new Dictionary<string, Tensor> { ["x"] = SmallModel.Tensor(2, 3, 4), ["axes"] = Tensor.Of<long>(Engine.Onnx.TensorProto.Types.DataType.Int64, [1], [1]) };
        StringAssert.Contains(Trainability.Of(model, ["y"], sample, []).Single(t => t.Weight == "w").Reason, "computed");
        Assert.IsNull(Trainability.Of(model, ["y"], sample, ["axes"]).Single(t => t.Weight == "w").Reason);
    }

    [TestMethod]
    [DataRow(false)]
    [DataRow(true)]
    public void Dropout_that_draws_has_no_gradient(bool draws)
    {
        var model = new SmallModel().Random("w", 1, 3, 4).Floats("share", [], 0.5f);
        model.Graph.Initializer.Add(model.Model.CreateTensor<byte>("on", Engine.Onnx.TensorProto.Types.DataType.Bool, [], [draws ? (byte)1 : (byte)0]));
        var reason = Trainability.Of(model.Node("Dropout", "w,share,on", "y").Output("y").Model, ["y"], _none, []).Single(t => t.Weight == "w").Reason;
        Assert.AreEqual(draws, reason is not null, reason);
    }

    [TestMethod]
    public void A_real_network_has_the_same_gradients_on_any_number_of_threads()
    {
        using var original = OnnxModel.Load(TestData.Path("digits_mobile/digits_mobile.onnx"));
        var model = Cleanup.Run(original, new PassContext(Engine.Manifest.RuntimePolicies.Get("ort-cpu"), [])).Model;
        var sample = new Dictionary<string, Tensor> { ["image"] = SmallModel.Tensor(1, 16, 1, 28, 28) };
        var weights = Parameters.Of(model);
        var graph = Gradients.Build(model, new(weights, [new(LossKind.Divergence, "logits")], sample));
        CollectionAssert.AreEquivalent(weights.ToArray(), graph.Outputs.Keys.ToArray());
        var inputs = sample.Concat(weights.ToDictionary(w => w, w => model.Graph.Initializer.First(t => t.Name == w) is var tensor ? Tensor.Of<float>(DataType.Float, [.. tensor.Dims], model.ReadFloats(tensor)) : null!)).ToDictionary();
        inputs[graph.Targets[0]] = SmallModel.Tensor(2, 16, 10);
        byte[]? first = null;
        foreach (var threads in new[] { 1, 2, 3, 5, 8 })
        {
            using var session = new Session(graph.Model, new SessionSettings(threads));
            byte[] bytes = [.. session.Run(inputs).OrderBy(r => r.Key, StringComparer.Ordinal).SelectMany(r => r.Value.Bytes)];
            first ??= bytes;
            Assert.IsTrue(first.SequenceEqual(bytes), $"{threads} threads");
        }
    }
}
