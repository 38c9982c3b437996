using CsCheck;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Passes.Quantization;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Tests.Passes.Quantization;

[TestClass]
public sealed class PairSaturationTests
{
    [TestMethod]
    public void Neighbours_of_one_sign_add_up_in_the_order_of_the_weight_and_with_channels_within_taps()
    {
        // One output of two channels with two taps: the weight's order is 1 5 | 4 -3, channels within taps 1 4 | 5 -3.
        var conv = Layout("Conv", [1, 2, 2], 0);
        CollectionAssert.AreEqual(new[] { 9f }, PairSaturation.LargestPairs([1, 5, 4, -3], conv));
        // Channels within taps: 6 and 7 of the first tap meet.
        CollectionAssert.AreEqual(new[] { 13f }, PairSaturation.LargestPairs([6, -1, 7, -2], conv));
        // A product reduces along the rows; one weight alone is a pair with zero.
        CollectionAssert.AreEqual(new[] { 5f, 8f }, PairSaturation.LargestPairs([2, -8, 3, 1], Layout("MatMul", [2, 2], 1)));
    }

    [TestMethod]
    public void A_channel_that_cannot_saturate_keeps_all_its_bits()
    {
        var weight = Layout("MatMul", [2, 2], 1);
        // The first channel has opposite signs, the second two equal weights.
        var least = PairSaturation.LeastScales([1, 1, -1, 1], weight);
        var quantized = AffineQuantizer.QuantizeWeight([1, 1, -1, 1], 2, 2, 1, least);
        Assert.IsGreaterThanOrEqualTo(126, (int)quantized.Values[0]);
        Assert.AreEqual((63, 63), ((int)quantized.Values[1], (int)quantized.Values[3]));
    }

    [TestMethod]
    public void Codes_that_follow_the_data_too_far_go_back_to_the_nearest_in_their_channel_alone()
    {
        var weight = Layout("MatMul", [3, 2], 1);
        var nearest = new QuantizedWeight([63, 10, 63, 20, 5, 30], [0.1f, 0.2f]);
        var safe = nearest with { Values = [65, 12, 63, 18, 4, 33] };
        Assert.AreSame(safe, PairSaturation.Safe(safe, nearest, weight));
        // 66 + 63 is more than 128.
        CollectionAssert.AreEqual(new sbyte[] { 63, 12, 63, 18, 5, 33 }, PairSaturation.Safe(nearest with { Values = [66, 12, 63, 18, 4, 33] }, nearest, weight).Values);
    }

    [TestMethod]
    public void No_pair_of_codes_exceeds_int16_whatever_the_weight_and_whichever_way_it_is_rounded() =>
        Gen.Float[-3, 3].Array[8, 60].Sample(values =>
        {
            var layout = Layout("MatMul", [values.Length, 1], 1);
            var scale = Math.Max(PairSaturation.LeastScales(values, layout)[0], values.Max(MathF.Abs) / 127);
            foreach (var round in new Func<float, float>[] { MathF.Round, MathF.Ceiling, MathF.Floor, v => MathF.CopySign(MathF.Ceiling(MathF.Abs(v) - 1e-4f), v) })
            {
                var codes = values.Select(v => round(v / scale)).ToArray();
                Assert.IsLessThanOrEqualTo(PairSaturation.GreatestSum, PairSaturation.LargestPairs(codes, layout)[0]);
            }
        });

    [TestMethod]
    [DataRow("ort-cpu", true)]
    [DataRow("portable", false)]
    public void Products_of_a_real_model_saturate_in_int16_unless_the_policy_prevents_it(string policy, bool saturates)
    {
        using var model = QuantizeTests.Clean("llama-aidreams/aidreams260k.onnx");
        var result = Quantize.Run(model, QuantizeTests.Plan(), new PassContext(RuntimePolicies.Get(policy), [])).Model;
        var products = result.Graph.Node.Where(n => n.OpType == "MatMulInteger").ToList();
        Assert.IsNotEmpty(products);
        var index = new GraphIndex(result, result.Graph);
        var weights = products.Select(p => index.Constant(p.Input[1])!).ToList();
        var differing = 0;
        foreach (var (name, codes) in Observe(model, result, products.Select(p => p.Input[0])))
        {
            foreach (var (_, weight) in products.Zip(weights).Where(p => p.First.Input[0] == name))
                differing += Differences(codes, Codes(result, weight), (int)weight.Dims[0]);
        }

        Assert.AreEqual(saturates, differing > 0, $"{differing} sums differ");
    }

    [TestMethod]
    [DataRow("ort-cpu", true)]
    [DataRow("portable", false)]
    public void Convolutions_of_a_real_model_saturate_in_int16_unless_the_policy_prevents_it(string policy, bool saturates)
    {
        using var model = QuantizeTests.Clean("digits_mobile/digits_mobile.onnx");
        var context = QuantizeTests.Context(ListDataset.Random(model, 4), policy);
        var result = Quantize.Run(model, QuantizeTests.Plan(), context).Model;
        var index = new GraphIndex(result, result.Graph);
        var differing = 0;
        // Convolutions of one tap are products of the channels, at every place.
        var pointwise = result.Graph.Node.Where(n => n.OpType == "Conv" && Weight(n).Dims is [_, > 1, 1, 1]).ToList();
        Assert.IsNotEmpty(pointwise);
        foreach (var (name, codes) in Observe(model, result, pointwise.Select(n => index.Producer(n.Input[0])!.Input[0])))
        {
            foreach (var node in pointwise.Where(n => index.Producer(n.Input[0])!.Input[0] == name))
            {
                var weight = Weight(node);
                var (outputs, inputs) = ((int)weight.Dims[0], (int)weight.Dims[1]);
                var places = (int)(codes.Shape[2] * codes.Shape[3]);
                var rows = Tensor.Of<byte>(DataType.Uint8, [places, inputs], [.. Enumerable.Range(0, places * inputs).Select(i => codes.Bytes[i % inputs * places + i / inputs])]);
                var original = Codes(result, weight);
                differing += Differences(rows, [.. Enumerable.Range(0, outputs * inputs).Select(i => original[i % outputs * inputs + i / outputs])], inputs);
            }
        }

        Assert.AreEqual(saturates, differing > 0, $"{differing} sums differ");

        TensorProto Weight(NodeProto node) => index.Constant(index.Producer(node.Input[1])!.Input[0])!;
    }

    /// <summary>How many sums of a product differ when pairs are added as vpmaddubsw does: saturated to int16.</summary>
    private static int Differences(Tensor activations, sbyte[] weights, int depth)
    {
        var (rows, columns, differing) = (activations.Bytes.Length / depth, weights.Length / depth, 0);
        for (var row = 0; row < Math.Min(rows, 64); row++)
        {
            for (var column = 0; column < columns; column++)
            {
                int exact = 0, saturated = 0;
                for (var k = 0; k < depth; k += 2)
                {
                    var pair = Product(k) + (k + 1 < depth ? Product(k + 1) : 0);
                    exact += pair;
                    saturated += Math.Clamp(pair, short.MinValue, short.MaxValue);
                }

                differing += exact == saturated ? 0 : 1;

                int Product(int k) => activations.Bytes[row * depth + k] * weights[k * columns + column];
            }
        }

        return differing;
    }

    /// <summary>Values of the quantized model when it runs on a random sample.</summary>
    private static Dictionary<string, Tensor> Observe(OnnxModel original, OnnxModel quantized, IEnumerable<string> names)
    {
        var clone = quantized.Clone();
        var wanted = names.Distinct().ToList();
        clone.Graph.Output.AddRange(wanted.Select(n => new ValueInfoProto { Name = n }));
        using var session = new Session(clone.ToBytes());
        var run = session.Run(ListDataset.Random(original, 1).Batches().First().Inputs);
        return wanted.ToDictionary(n => n, n => run[n]);
    }

    private static sbyte[] Codes(OnnxModel model, TensorProto tensor) => [.. QuantizedTensor.Codes(model, tensor).Select(c => (sbyte)c)];

    private static NodeWeight Layout(string op, long[] dims, int axis)
    {
        var tensor = new TensorProto();
        tensor.Dims.AddRange(dims);
        return new NodeWeight(new NodeProto { OpType = op }, 1, tensor, axis);
    }
}
