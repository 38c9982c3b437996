using CsCheck;
using ModelBuildTasks.Engine.Autodiff;
using ModelBuildTasks.Engine.Autodiff.Losses;
using ModelBuildTasks.Engine.Execution;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Tests.Autodiff;

[TestClass]
public sealed class ProductRuleTests
{
    [TestMethod]
    [DataRow(new long[] { 3, 4 }, new long[] { 4, 5 })]
    [DataRow(new long[] { 2, 3, 4 }, new long[] { 4, 5 })]
    [DataRow(new long[] { 2, 1, 3, 4 }, new long[] { 5, 4, 2 })]
    [DataRow(new long[] { 3, 4 }, new long[] { 2, 4, 5 })]
    [DataRow(new long[] { 4 }, new long[] { 4, 5 })]
    [DataRow(new long[] { 2, 3, 4 }, new long[] { 4 })]
    [DataRow(new long[] { 4 }, new long[] { 4 })]
    [DataRow(new long[] { 4 }, new long[] { 2, 4, 3 })]
    public void Matrices_are_multiplied_in_batches_and_broadcast(long[] a, long[] b) =>
        GradientCheck.All(new SmallModel().Random("a", 1, a).Random("b", 2, b).Node("MatMul", "a,b", "y").Output("y"));

    [TestMethod]
    public void Gemm_in_every_form() => Gen.Select(Gen.Bool, Gen.Bool, Gen.Int[0, 4], Gen.Int[1, 4], Gen.Int[1, 4], Gen.Int[1, 4]).Each(
        (transA, transB, bias, m, k, n) =>
        {
            var model = new SmallModel().Random("a", 1, transA ? [k, m] : [m, k]).Random("b", 2, transB ? [n, k] : [k, n]);
            long[]?[] forms = [null, [n], [m, 1], [], [m, n]];
            if (forms[bias] is { } dims)
                model.Random("c", 3, dims);
            GradientCheck.All(model.Node("Gemm", bias == 0 ? "a,b" : "a,b,c", "y", ("transA", transA ? 1 : 0), ("transB", transB ? 1 : 0), ("alpha", 0.5f), ("beta", 1.5f)).Output("y"));
        },
        15);

    [TestMethod]
    [DataRow("MatMul", false, 40, 200)]
    [DataRow("MatMul", false, 200, 40)]
    [DataRow("MatMul", false, 16, 100)]
    [DataRow("Gemm", false, 16, 100)]
    [DataRow("Gemm", false, 40, 200)]
    [DataRow("Gemm", true, 40, 200)]
    [DataRow("Gemm", true, 200, 40)]
    public void The_gradient_of_a_weight_is_the_same_on_any_number_of_threads(string op, bool transposed, int from, int to)
    {
        // Sums over many rows with few columns for each thread: ONNX Runtime cuts them by the number of columns.
        const int rows = 3000;
        var small = new SmallModel().Input("x", rows, from).Random("w", 1, transposed ? [to, from] : [from, to]).Node(op, "x,w", "y", transposed ? [("transB", 1)] : []).Output("y");
        var sample = new Dictionary<string, Tensor> { ["x"] = SmallModel.Tensor(2, rows, from) };
        var graph = Gradients.Build(small.Model, new(["w"], [new(LossKind.SquaredError, "y")], sample));
        var inputs = new Dictionary<string, Tensor>(sample)
        {
            ["w"] = SmallModel.Tensor(3, transposed ? [to, from] : [from, to]),
            [graph.Targets[0]] = SmallModel.Tensor(4, rows, to),
        };
        byte[]? first = null;
        foreach (var threads in new[] { 1, 2, 3, 5, 8 })
        {
            using var session = new Session(graph.Model, new SessionSettings(threads));
            byte[] bytes = [.. session.Run(inputs)[graph.Outputs["w"]].Bytes];
            first ??= bytes;
            Assert.IsTrue(first.SequenceEqual(bytes), $"{threads} threads");
        }
    }

    [TestMethod]
    [DataRow("ij,jk->ik", new long[] { 2, 3 }, new long[] { 3, 4 })]
    [DataRow("bhqd,bhkd->bhqk", new long[] { 2, 2, 3, 4 }, new long[] { 2, 2, 5, 4 })]
    [DataRow("ij,jk", new long[] { 2, 3 }, new long[] { 3, 4 })]
    [DataRow("bij,j->b", new long[] { 2, 3, 4 }, new long[] { 4 })]
    [DataRow("ij,kj->", new long[] { 2, 3 }, new long[] { 4, 3 })]
    public void Einsum_of_two_values(string equation, long[] a, long[] b) =>
        GradientCheck.All(new SmallModel().Random("a", 1, a).Random("b", 2, b).Node("Einsum", "a,b", "y", ("equation", equation)).Output("y"));

    [TestMethod]
    [DataRow("Softmax", -1)]
    [DataRow("Softmax", 1)]
    [DataRow("LogSoftmax", -1)]
    [DataRow("LogSoftmax", 0)]
    public void Softmax_along_any_axis(string op, int axis) =>
        GradientCheck.All(new SmallModel().Random("a", 1, 2, 3, 4).Node(op, "a", "y", ("axis", axis)).Output("y"));

    [TestMethod]
    public void Reductions_over_any_axes()
    {
        string[] ops = ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp"];
        Gen.Select(Gen.Int[0, ops.Length - 1], Gen.Int[1, 15], Gen.Bool, Gen.Long[1, 4].Array[4]).Each(
            (which, axes, keep, dims) =>
            {
                long[] chosen = [.. Enumerable.Range(0, 4).Where(i => (axes >> i & 1) != 0).Select(i => (long)i - (keep ? 4 : 0))];
                GradientCheck.All(new SmallModel(18).Distinct("a", 1, dims).Ints("axes", chosen).Node(ops[which], "a,axes", "y", ("keepdims", keep ? 1 : 0)).Output("y"), 5e-3, 1e-3);
            },
            30);
    }

    [TestMethod]
    public void Reductions_over_everything_and_of_logarithms()
    {
        GradientCheck.All(new SmallModel(18).Random("a", 1, 2, 3).Node("ReduceMean", "a", "y", ("keepdims", 0)).Output("y"));
        GradientCheck.All(new SmallModel(18).Random("a", 1, 2, 3).Floats("fixed", [], 2).Node("Add", "a,fixed", "b").Ints("axes", 1).Node("ReduceLogSum", "b,axes", "y").Output("y"));
        GradientCheck.All(new SmallModel(14).Random("a", 1, 2, 3).Longs("axis", [], 1).Node("CumSum", "a,axis", "y", ("reverse", 1), ("exclusive", 1)).Node("CumSum", "a,axis", "z").Output("y", "z"));
    }
}
