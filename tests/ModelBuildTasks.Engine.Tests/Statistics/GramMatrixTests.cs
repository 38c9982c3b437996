using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Quantization;
using ModelBuildTasks.Engine.Passes.Quantization.Rounding;
using ModelBuildTasks.Engine.Statistics;
using ModelBuildTasks.Engine.Tests.Passes.Quantization;

namespace ModelBuildTasks.Engine.Tests.Statistics;

[TestClass]
public sealed class GramMatrixTests
{
    // Op, input, weight, attributes.
    public static IEnumerable<object[]> Cases =>
    [
        ["Conv", new long[] { 2, 3, 5, 6 }, new long[] { 4, 3, 3, 2 }, Attributes()],
        ["Conv", new long[] { 2, 3, 5, 6 }, new long[] { 4, 3, 3, 3 }, Attributes(("pads", new long[] { 1, 2, 0, 1 }), ("strides", new long[] { 2, 1 }))],
        ["Conv", new long[] { 1, 4, 9, 8 }, new long[] { 6, 2, 3, 2 }, Attributes(("pads", new long[] { 2, 1, 2, 1 }), ("dilations", new long[] { 2, 3 }), ("group", 2L))],
        ["Conv", new long[] { 1, 5, 7, 7 }, new long[] { 5, 1, 3, 3 }, Attributes(("pads", new long[] { 1, 1, 1, 1 }), ("group", 5L))],
        ["Conv", new long[] { 1, 3, 8, 7 }, new long[] { 2, 3, 3, 4 }, Attributes(("auto_pad", "SAME_UPPER"), ("strides", new long[] { 2, 2 }))],
        ["Conv", new long[] { 1, 3, 8, 7 }, new long[] { 2, 3, 3, 4 }, Attributes(("auto_pad", "SAME_LOWER"), ("strides", new long[] { 1, 2 }))],
        ["Conv", new long[] { 3, 2, 20 }, new long[] { 3, 2, 5 }, Attributes(("pads", new long[] { 4, 1 }), ("strides", new long[] { 3 }))],
        ["Conv", new long[] { 1, 2, 4, 5, 6 }, new long[] { 3, 2, 2, 3, 2 }, Attributes(("pads", new long[] { 1, 0, 1, 0, 1, 0 }))],
        ["Conv", new long[] { 1, 70, 4, 4 }, new long[] { 2, 70, 1, 1 }, Attributes()],
        ["ConvTranspose", new long[] { 1, 4, 4, 5 }, new long[] { 4, 3, 3, 2 }, Attributes(("pads", new long[] { 1, 0, 1, 1 }), ("strides", new long[] { 2, 3 }), ("output_padding", new long[] { 1, 2 }))],
        ["ConvTranspose", new long[] { 1, 4, 6 }, new long[] { 4, 2, 3 }, Attributes(("group", 2L), ("dilations", new long[] { 2 }))],
        ["MatMul", new long[] { 2, 7, 9 }, new long[] { 9, 4 }, Attributes()],
        ["Gemm", new long[] { 6, 9 }, new long[] { 9, 4 }, Attributes()],
        ["Gemm", new long[] { 6, 9 }, new long[] { 4, 9 }, Attributes(("transB", 1L))],
    ];

    [TestMethod]
    [DynamicData(nameof(Cases))]
    public void The_runtimes_own_outputs_have_the_mean_and_the_mean_square_that_it_foretells(string op, long[] input, long[] dims, (string, object)[] attributes)
    {
        var small = new SmallModel().Input("x", input).Random("w", 5, dims).Node(op, "x,w", "y", attributes).Output("y");
        var weight = NodeWeight.Of(small.Graph.Node[0], new GraphIndex(small.Model, small.Graph)).Single();
        var gram = new GramMatrix("x", GramGeometry.Of(weight.Node, 1, dims)!);
        var x = SmallModel.Tensor(9, input);
        var data = new ListDataset([new Batch(new Dictionary<string, Tensor> { ["x"] = x }, null, (int)input[0])]);
        StatisticsCollector.Collect(small.Model, [], data, grams: [gram]);
        Assert.IsTrue(gram.IsValid);

        using var session = new Session(small.Model, new SessionSettings(Threads: 1));
        var y = session.Run(new Dictionary<string, Tensor> { ["x"] = x }, ["y"])["y"];
        var values = small.Model.ReadFloats(weight.Tensor);
        var rows = WeightRows.Of(weight, gram.Geometry);
        var channelAxis = op.StartsWith("Conv", StringComparison.Ordinal) ? 1 : y.Shape.Length - 1;
        var inner = y.Shape.Skip(channelAxis + 1).Aggregate(1L, (p, d) => p * d);
        Assert.AreEqual(y.Shape[channelAxis], rows.Count);
        Assert.AreEqual(ElementTypes.Count(y.Shape) / rows.Count, gram.Rows);
        for (var row = 0; row < rows.Count; row++)
        {
            var outputs = y.As<float>().ToArray().Where((_, i) => i / inner % rows.Count == row).Select(v => (double)v).ToArray();
            var w = Enumerable.Range(0, rows.Columns).Select(c => (double)values[rows.Index(row, c)]).ToArray();
            var (means, moments, covariance) = (gram.Means(rows.Group(row)), gram.Moments(rows.Group(row), false), gram.Moments(rows.Group(row), true));
            var mean = w.Zip(means, (a, b) => a * b).Sum();
            Assert.AreEqual(outputs.Average(), mean, 1e-5);
            Assert.AreEqual(outputs.Average(v => v * v), Form(moments, w), 1e-4);
            Assert.AreEqual(outputs.Average(v => (v - mean) * (v - mean)), Form(covariance, w), 1e-4);
        }
    }

    [TestMethod]
    public void Threads_and_the_split_into_batches_leave_every_bit()
    {
        var small = new SmallModel().Input("x", -1, 3, 24, 24).Random("w", 1, 20, 3, 3, 3).Random("v", 2, 20, 1, 5, 5)
            .Node("Conv", "x,w", "y").Node("Conv", "y,v", "z", ("group", 20), ("pads", new long[] { 2, 2, 2, 2 })).Output("z");
        var samples = Enumerable.Range(0, 12).Select(i => SmallModel.Values(i, 3 * 24 * 24)).ToArray();
        var expected = Collect(1, 1);
        foreach (var (split, threads) in new[] { (1, 4), (3, 1), (4, 3), (12, 2) })
            CollectionAssert.AreEqual(expected, Collect(split, threads), $"{split} {threads}");

        double[] Collect(int split, int threads)
        {
            GramMatrix[] grams = [.. small.Graph.Node.Select((n, i) => new GramMatrix(n.Input[0], GramGeometry.Of(n, 1, small.Graph.Initializer[i].Dims)!))];
            var data = new ListDataset([.. samples.Chunk(split).Select(chunk => new Batch(
                new Dictionary<string, Tensor> { ["x"] = Tensor.Of<float>(TensorProto.Types.DataType.Float, [chunk.Length, 3, 24, 24], [.. chunk.SelectMany(c => c)]) }, null, chunk.Length))]);
            StatisticsCollector.Collect(small.Model, [], data, threads, grams: grams);
            Assert.IsTrue(grams.All(g => g.Rows == 12 * GramMatrix.PositionsPerSample));
            return [.. grams.SelectMany(g => Enumerable.Range(0, g.Geometry.Groups).SelectMany(i => g.Moments(i, false).Concat(g.Means(i))))];
        }
    }

    [TestMethod]
    public void Values_that_are_not_finite_or_do_not_fit_make_it_invalid()
    {
        var node = GraphExtensions.Node("MatMul", ["x", "w"], ["y"]);
        foreach (var values in new float[][] { [1, float.NaN, 2], [1, 2, float.PositiveInfinity], [1, 2] })
        {
            var gram = new GramMatrix("x", GramGeometry.Of(node, 1, [3, 2])!);
            gram.Add(0, 1, values, [1, values.Length]);
            gram.End(0);
            gram.Complete();
            Assert.IsFalse(gram.IsValid);
        }
    }

    [TestMethod]
    public void A_run_that_fails_keeps_no_other_waiting()
    {
        var small = new SmallModel().Input("x", -1).Random("w", 1, 3, 2).Node("MatMul", "x,w", "y").Output("y");
        var data = new ListDataset([.. Enumerable.Range(0, 8).Select(i => ListDataset.Batch("x", [i == 2 ? 4 : 3], new float[i == 2 ? 4 : 3]))]);
        var gram = new GramMatrix("x", GramGeometry.Of(small.Graph.Node[0], 1, [3, 2])!);
        Assert.ThrowsExactly<Diagnostics.ModelBuildException>(() => StatisticsCollector.Collect(small.Model, [], data, threads: 4, grams: [gram]));
    }

    private static double Form(double[] matrix, double[] w)
    {
        double sum = 0;
        for (var i = 0; i < w.Length; i++)
        {
            for (var j = 0; j < w.Length; j++)
                sum += w[i] * matrix[i * w.Length + j] * w[j];
        }

        return sum;
    }

    private static (string, object)[] Attributes(params (string, object)[] attributes) => attributes;
}
