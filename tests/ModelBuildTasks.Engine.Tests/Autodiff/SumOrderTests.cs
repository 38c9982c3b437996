using ModelBuildTasks.Engine.Autodiff;
using ModelBuildTasks.Engine.Autodiff.Losses;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Tests.Autodiff;

/// <summary>Sums that ONNX Runtime adds up differently for each number of threads.</summary>
[TestClass]
public sealed class SumOrderTests
{
    [TestMethod]
    public void A_dense_network_has_the_same_loss_and_gradients_on_any_number_of_threads() =>
        Same(new SmallModel().Input("x", 64, 784).Random("a", 1, 128, 784).Random("b", 2, 128).Random("c", 3, 128, 1000)
            .Node("Gemm", "x,a,b", "h", ("transB", 1), ("alpha", 0.5f), ("beta", 2f)).Node("Tanh", "h", "t").Node("MatMul", "t,c", "y").Output("y"), ["a", "b", "c"], [64, 784]);

    [TestMethod]
    public void So_has_one_of_products_in_batches_and_of_vectors() =>
        Same(new SmallModel().Input("x", 2, 16, 512).Random("a", 1, 2, 512, 100).Random("b", 2, 100, 256).Random("c", 3, 256, 300)
            .Node("MatMul", "x,a", "h").Node("Tanh", "h", "t").Node("MatMul", "t,b", "u").Node("MatMul", "u,c", "y").Output("y"), ["a", "b", "c"], [2, 16, 512]);

    [TestMethod]
    public void So_has_a_recurrent_one() =>
        Same(new SmallModel(20).Input("x", 3, 32, 160).Random("w", 2, 1, 512, 160).Random("r", 3, 1, 512, 128).Node("LSTM", "x,w,r", "y,h,c", ("hidden_size", 128)).Output("y"), ["w", "r"], [3, 32, 160]);

    [TestMethod]
    [DataRow(1, 48, 1, 13)]
    [DataRow(1, 300, 1, 5)]
    [DataRow(1, 48, 3, 13)]
    [DataRow(2, 48, 3, 7)]
    [DataRow(1, 1, 3, 13)]
    [DataRow(1, 13, 1, 13)]
    public void So_have_convolutions_of_one_sample_or_few(int batch, int filters, int kernel, int size) =>
        Same(new SmallModel().Input("x", batch, 256, size, size).Random("a", 1, filters, 256, kernel, kernel).Random("b", 2, filters).Random("c", 3, 7, filters, 3, 3)
            .Node("Conv", "x,a,b", "h", ("pads", new long[] { kernel / 2, kernel / 2, kernel / 2, kernel / 2 })).Node("Tanh", "h", "t").Node("Conv", "t,c", "y", ("strides", new long[] { 2, 2 })).Output("y"), ["a", "b", "c"], [batch, 256, size, size]);

    [TestMethod]
    [DataRow(8, 8)]
    [DataRow(9, 8)]
    [DataRow(4, 10)]
    [DataRow(11, 1)]
    [DataRow(17, 17)]
    [DataRow(31, 30)]
    [DataRow(32, 32)]
    [DataRow(33, 8)]
    public void So_have_products_of_few_rows(int rows, int columns) =>
        Same(new SmallModel().Input("x", rows, 4096).Random("a", 1, 4096, columns).Random("b", 2, columns, 4096).Random("c", 3, columns, 4096)
            .Node("MatMul", "x,a", "h").Node("Gemm", "x,b", "u", ("transB", 1)).Node("Add", "h,u", "t").Node("MatMul", "t,c", "y").Output("y"), ["a", "b", "c"], [rows, 4096]);

    [TestMethod]
    [DataRow(2, 8, 8)]
    [DataRow(3, 5, 4)]
    [DataRow(1, 17, 9)]
    public void So_have_batches_of_products_of_few_rows(int batch, int rows, int columns) =>
        Same(new SmallModel().Input("x", batch, rows, 4096).Random("a", 1, batch, 4096, columns).Random("b", 2, batch, columns, 300)
            .Node("MatMul", "x,a", "h").Node("Tanh", "h", "t").Node("MatMul", "t,b", "y").Output("y"), ["a", "b"], [batch, rows, 4096]);

    [TestMethod]
    [DataRow("ReduceL1")]
    [DataRow("ReduceL2")]
    [DataRow("ReduceSumSquare")]
    [DataRow("ReduceLogSumExp")]
    [DataRow("ReduceMax")]
    public void So_have_other_reductions(string op) =>
        Same(new SmallModel().Input("x", 6, 700).Random("a", 1, 700).Node("Mul", "x,a", "h").Node(op, "h", "y", ("axes", new long[] { 1 }), ("keepdims", 0)).Output("y"), ["a"], [6, 700]);

    [TestMethod]
    public void So_has_a_wide_kernel_on_one_channel() =>
        Same(new SmallModel().Input("x", 8, 1, 40, 40).Random("a", 1, 24, 1, 7, 7).Node("Conv", "x,a", "h").Node("Tanh", "h", "y").Output("y"), ["a"], [8, 1, 40, 40]);

    [TestMethod]
    public void So_has_a_transposed_convolution_of_one_sample() =>
        Same(new SmallModel().Input("x", 1, 256, 6, 6).Random("a", 1, 256, 40, 3, 3).Random("b", 2, 40, 256, 2, 2).Node("ConvTranspose", "x,a", "h").Node("Tanh", "h", "t").Node("ConvTranspose", "t,b", "y", ("strides", new long[] { 2, 2 })).Output("y"), ["a", "b"], [1, 256, 6, 6]);

    [TestMethod]
    [DataRow(new long[] { 3, 200 }, new long[] { 200, 7 })]
    [DataRow(new long[] { 200 }, new long[] { 200, 7 })]
    [DataRow(new long[] { 2, 3, 200 }, new long[] { 200, 7 })]
    [DataRow(new long[] { 2, 3, 200 }, new long[] { 2, 200, 7 })]
    [DataRow(new long[] { 3, 200 }, new long[] { 2, 200, 7 })]
    [DataRow(new long[] { 2, 1, 3, 200 }, new long[] { 5, 200, 7 })]
    public void Products_are_the_same_products(long[] a, long[] b) =>
        GradientCheck.All(new SmallModel().Random("a", 1, a).Random("b", 2, b).Floats("fixed", [], 0.1f).Node("Mul", "b,fixed", "c").Node("MatMul", "a,c", "y").Output("y"));

    [TestMethod]
    [DataRow(1, 13, 13)]
    [DataRow(4, 13, 13)]
    [DataRow(64, 10, 28)]
    [DataRow(64, 3, 28)]
    [DataRow(64, 2, 1)]
    public void So_have_sums_of_which_few_values_are_left(int batch, int channels, int size) =>
        Same(new SmallModel().Input("x", batch, channels, size, size).Random("a", 1, channels, 1, 1).Random("b", 2, channels, 1, 1).Random("c", 3, 1, channels)
            .Node("Mul", "x,a", "h").Node("Tanh", "h", "t").Node("Add", "t,b", "u").Node("ReduceMean", "u", "m", ("axes", new long[] { 2, 3 }), ("keepdims", 0)).Node("Mul", "m,c", "v").Node("Softmax", "v", "y").Output("y"), ["a", "b", "c"], [batch, channels, size, size]);

    private static void Same(SmallModel small, IReadOnlyList<string> weights, long[] shape)
    {
        var sample = new Dictionary<string, Tensor> { ["x"] = SmallModel.Tensor(7, shape) };
        var graph = Gradients.Build(small.Model, new GradientRequest(weights, [new LossTerm(LossKind.SquaredError, "y")], sample));
        var inputs = graph.Model.Graph.Input.ToDictionary(i => i.Name, i => i.Name == "x" ? sample["x"]
            : small.Graph.Initializer.FirstOrDefault(t => t.Name == i.Name) is { } weight ? Tensor.Of<float>(DataType.Float, [.. weight.Dims], small.Model.ReadFloats(weight))
            : SmallModel.Tensor(5, [.. i.Type.TensorType.Shape.Dim.Select(d => d.DimValue)]));
        var results = new[] { 1, 2, 3, 4, 6, 8, 16 }.Select(threads =>
        {
            using var session = new Session(graph.Model, new SessionSettings(threads));
            return session.Run(inputs).ToDictionary(r => r.Key, r => r.Value.Bytes);
        }).ToList();
        foreach (var other in results.Skip(1))
        {
            foreach (var (name, bytes) in results[0])
                Assert.IsTrue(bytes.AsSpan().SequenceEqual(other[name]), name);
        }
    }
}
