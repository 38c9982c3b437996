using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Quantization;
using ModelBuildTasks.Engine.Passes.Quantization.Search;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Passes.Quantization.Search;

[TestClass]
public sealed class LatencyModelTests
{
    private static readonly HashSet<NodeProto> s_none = new(ReferenceEqualityComparer.Instance);

    [TestMethod]
    [DataRow("Conv", "group", 1L, "1,4,8,8", "6,4,3,3", "1,6,4,4", 6 * 4 * 9 * 16L)]
    [DataRow("Conv", "group", 2L, "1,4,8,8", "6,2,3,3", "1,6,4,4", 6 * 2 * 9 * 16L)]
    [DataRow("Conv", "group", 4L, "2,4,8,8", "4,1,3,3", "2,4,8,8", 2 * 4 * 9 * 64L)]
    [DataRow("Conv", "group", 1L, "1,4,10", "6,4,5", "1,6,10", 6 * 4 * 5 * 10L)]
    [DataRow("ConvTranspose", "group", 1L, "1,4,5,5", "4,3,2,2", "1,3,10,10", 4 * 25 * 3 * 4L)]
    [DataRow("MatMul", "", 0L, "2,5,7", "7,3", "2,5,3", 2 * 5 * 7 * 3L)]
    [DataRow("MatMul", "", 0L, "2,5,7", "2,7,3", "2,5,3", 2 * 5 * 7 * 3L)]
    [DataRow("Gemm", "transB", 1L, "5,7", "3,7", "5,3", 5 * 7 * 3L)]
    [DataRow("Gemm", "transB", 0L, "5,7", "7,3", "5,3", 5 * 7 * 3L)]
    [DataRow("Relu", "", 0L, "5,7", "", "5,7", 0L)]
    [DataRow("MatMul", "", 0L, "?", "7,3", "?", 0L)]
    public void Macs_are_counted_from_the_shapes(string op, string attribute, long value, string input, string weight, string output, long macs)
    {
        var node = GraphExtensions.Node(op, weight.Length > 0 ? ["x", "w"] : ["x"], ["y"]);
        if (attribute.Length > 0)
            node.Set(attribute, value);
        Assert.AreEqual(macs, LatencyModel.Macs(node, Shapes(("x", input), ("w", weight), ("y", output))));
    }

    [TestMethod]
    public void Macs_of_a_recurrent_layer_are_its_two_products_at_each_step()
    {
        var node = GraphExtensions.Node("LSTM", ["x", "w", "r"], ["y"]);
        Assert.AreEqual(6 * (20 * 3 + 20 * 5), LatencyModel.Macs(node, Shapes(("x", "6,1,3"), ("w", "1,20,3"), ("r", "1,20,5"), ("y", "6,1,1,5"))));
    }

    // x -> Conv a -> Relu -> Conv b -> Tanh -> y, of 1x2x4x4 values everywhere; 2·2·16 macs a Conv, a window of one element.
    [TestMethod]
    public void A_prediction_adds_up_kernels_and_the_borders_of_the_8_bit_part()
    {
        var (index, model, a, b) = Chain();
        var latency = new LatencyModel(index, Table, Shapes(("x", "1,2,4,4"), ("wa", "2,2,1,1"), ("wb", "2,2,1,1"), ("a", "1,2,4,4"), ("r", "1,2,4,4"), ("b", "1,2,4,4"), ("y", "1,2,4,4")));

        // Float: the run, two Convs of 100 + 64 macs, Relu fused, Tanh 10 + 32.
        Assert.AreEqual(1000 + 2 * 164 + 42, latency.Predict(null, s_none), 1e-9);
        // Both in 8 bits: Convs of 50 + 0.5·64, x quantized (5 + 32), b dequantized (7 + 64), Relu absorbed, Tanh float.
        Assert.AreEqual(1000 + 2 * 82 + 37 + 71 + 42, latency.Predict(new StaticGraph(model, index, Policy, [a, b]), s_none), 1e-9);
        // The second alone: Relu is fused into the first, and its output enters.
        Assert.AreEqual(1000 + 164 + 82 + 37 + 71 + 42, latency.Predict(new StaticGraph(model, index, Policy, [b]), s_none), 1e-9);
        // The first alone: Relu is absorbed, its output leaves to a float Conv.
        Assert.AreEqual(1000 + 164 + 82 + 37 + 71 + 42, latency.Predict(new StaticGraph(model, index, Policy, [a]), s_none), 1e-9);
    }

    [TestMethod]
    public void Channels_are_filled_up_to_whole_blocks()
    {
        var (index, _, _, _) = Chain();
        var shapes = Shapes(("x", "1,2,4,4"), ("wa", "2,2,1,1"), ("wb", "2,2,1,1"), ("a", "1,2,4,4"), ("r", "1,2,4,4"), ("b", "1,2,4,4"), ("y", "1,2,4,4"));
        // Sixteen output channels in place of two: 512 macs in place of 64.
        Assert.AreEqual(1000 + 2 * 612 + 42, new LatencyModel(index, Table with { Block = 16 }, shapes).Predict(null, s_none), 1e-9);
    }

    [TestMethod]
    public void Dynamic_products_of_one_value_share_its_quantization()
    {
        var small = new SmallModel().Input("x", 3, 4).Random("v", 1, 4, 2).Random("w", 2, 4, 2)
            .Node("MatMul", "x,v", "p").Node("MatMul", "x,w", "q").Node("MatMul", "x,w", "s").Output("p", "q", "s");
        var index = new GraphIndex(small.Model, small.Graph);
        var latency = new LatencyModel(index, Table, Shapes(("x", "3,4"), ("v", "4,2"), ("w", "4,2"), ("p", "3,2"), ("q", "3,2"), ("s", "3,2")));
        var dynamic = new HashSet<NodeProto>([small.Graph.Node[0], small.Graph.Node[1]], ReferenceEqualityComparer.Instance);

        // Products: 200 + 24 macs in float, 60 + 0.25·24 dynamic; DynamicQuantizeLinear 30 + 12.
        Assert.AreEqual(1000 + 3 * 224, latency.Predict(null, s_none), 1e-9);
        Assert.AreEqual(1000 + 224 + 2 * 66 + 42, latency.Predict(null, dynamic), 1e-9);
    }

    [TestMethod]
    public void A_prediction_is_the_same_whenever_it_is_made()
    {
        var shapes = Shapes(("x", "1,2,4,4"), ("wa", "2,2,1,1"), ("wb", "2,2,1,1"), ("a", "1,2,4,4"), ("r", "1,2,4,4"), ("b", "1,2,4,4"), ("y", "1,2,4,4"));
        var predictions = Enumerable.Range(0, 4).AsParallel().Select(_ =>
        {
            var (index, model, a, b) = Chain();
            var latency = new LatencyModel(index, Policy.Costs, shapes);
            return (latency.Predict(null, s_none), latency.Predict(new StaticGraph(model, index, Policy, [a, b]), s_none));
        }).ToList();
        Assert.HasCount(1, predictions.Distinct());
        Assert.AreNotEqual(predictions[0].Item1, predictions[0].Item2);
    }

    [TestMethod]
    public void Unknown_shapes_cost_nothing()
    {
        var (index, model, a, b) = Chain();
        var latency = new LatencyModel(index, Table, Shapes(("wa", "2,2,1,1"), ("wb", "2,2,1,1")));
        Assert.AreEqual(1000, latency.Predict(null, s_none));
        Assert.AreEqual(1000, latency.Predict(new StaticGraph(model, index, Policy, [a, b]), s_none));
    }

    private static RuntimePolicy Policy => RuntimePolicies.Get("ort-cpu");

    private static CostTable Table => new()
    {
        Run = 1000,
        Fused = new HashSet<string> { "Relu" },
        Quantize = new(5, 0, 0, 1, 0, 0),
        Dequantize = new(7, 0, 0, 2, 0, 0),
        DynamicQuantize = new(30, 0, 0, 1, 0, 0),
        Kernels =
        [
            new(["Conv"], KernelKind.Pointwise, new(100, 1, 0, 0, 0, 0)) { Static = new(50, 0.5, 0, 0, 0, 0) },
            new(["MatMul"], null, new(200, 1, 0, 0, 0, 0)) { Dynamic = new(60, 0.25, 0, 0, 0, 0) },
            new([], null, new(10, 0, 0, 1, 0, 0)),
        ],
    };

    private static (GraphIndex Index, OnnxModel Model, NodeProto First, NodeProto Second) Chain()
    {
        var small = new SmallModel().Input("x", 1, 2, 4, 4).Random("wa", 1, 2, 2, 1, 1).Random("wb", 2, 2, 2, 1, 1)
            .Node("Conv", "x,wa", "a").Node("Relu", "a", "r").Node("Conv", "r,wb", "b").Node("Tanh", "b", "y").Output("y");
        return (new GraphIndex(small.Model, small.Graph), small.Model, small.Graph.Node[0], small.Graph.Node[2]);
    }

    private static Dictionary<string, ValueDescription> Shapes(params (string Name, string Dims)[] values) => values.Where(v => v.Dims.Length > 0)
        .ToDictionary(v => v.Name, v => new ValueDescription(v.Name, DataType.Float, v.Dims == "?" ? [-1] : [.. v.Dims.Split(',').Select(long.Parse)]));
}
