using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Passes.Quantization;

/// <summary>The dynamic form of an LSTM: com.microsoft DynamicQuantizeLSTM.</summary>
[TestClass]
public sealed class DynamicLstmTests
{
    private const int Inputs = 24;
    private const int Hidden = 16;
    private const int Rows = 4 * Hidden;

    [TestMethod]
    [DataRow("forward")]
    [DataRow("reverse")]
    [DataRow("bidirectional")]
    public void Each_gate_row_has_a_scale_and_the_outputs_are_those_of_the_float_operator(string direction)
    {
        var small = Lstm(direction);
        var result = Quantize.Run(small.Model, QuantizeTests.Plan(), QuantizeTests.Context());
        Assert.AreEqual("int8 dynamic", result.Decisions.Single().What);
        var node = result.Model.Graph.Node.Single(n => n.OpType == "DynamicQuantizeLSTM");
        Assert.AreEqual("com.microsoft", node.Domain);
        Assert.AreEqual(1, result.Model.Proto.OpsetImport.Count(o => o.Domain == "com.microsoft"));
        var index = new GraphIndex(result.Model, result.Model.Graph);
        var directions = direction == "bidirectional" ? 2 : 1;
        foreach (var (weight, input, columns) in new[] { ("w", 1, Inputs), ("r", 2, Hidden) })
        {
            var codes = index.Constant(node.Input[input])!;
            Assert.AreEqual(DataType.Int8, (DataType)codes.DataType);
            CollectionAssert.AreEqual(new long[] { directions, columns, Rows }, codes.Dims.ToArray());
            var scales = index.Constant(node.Input[6 + 2 * input])!;
            CollectionAssert.AreEqual(new long[] { directions, Rows }, scales.Dims.ToArray());
            // The largest weight of a gate row, in any direction, sets its step.
            var (values, steps) = (Values(small.Model, weight), Values(result.Model, scales.Name));
            for (var row = 0; row < Rows; row++)
            {
                var largest = Enumerable.Range(0, directions).Max(d => Enumerable.Range(0, columns).Max(c => Math.Abs(values[(d * Rows + row) * columns + c])));
                for (var d = 0; d < directions; d++)
                    Assert.IsTrue(steps[d * Rows + row] * 127 / largest is > 0.7f and < 1.02f, $"{weight}, row {row}: {steps[d * Rows + row] * 127} of {largest}");
            }
        }

        Assert.IsGreaterThan(25, QuantizeTests.Sqnr(small.Model, result.Model, ListDataset.Random(small.Model, 4)));
    }

    [TestMethod]
    public void Where_pairs_of_products_may_saturate_the_arithmetic_stays_float()
    {
        var small = Lstm("forward");
        var result = Quantize.Run(small.Model, QuantizeTests.Plan(), QuantizeTests.Context(null, "portable"));
        var decision = result.Decisions.Single();
        Assert.AreEqual("int8 weights", decision.What);
        StringAssert.Contains(decision.Reason, "saturation");
        Assert.AreEqual(1, result.Model.Graph.Node.Count(n => n.OpType == "LSTM"));
        Assert.IsFalse(result.Model.Proto.OpsetImport.Any(o => o.Domain == "com.microsoft"));
    }

    /// <summary>x [7,2,24] -> LSTM -> y, h, c, with gate rows of sizes that differ by a hundred.</summary>
    private static SmallModel Lstm(string direction)
    {
        long directions = direction == "bidirectional" ? 2 : 1;
        float[] Weight(int seed, int columns)
        {
            var values = SmallModel.Values(seed, directions * Rows * columns);
            for (var i = 0; i < values.Length; i++)
                values[i] *= 0.5f * MathF.Pow(10, -(i / columns % 3));
            return values;
        }

        return new SmallModel().Input("x", 7, 2, Inputs).Floats("w", [directions, Rows, Inputs], Weight(1, Inputs)).Floats("r", [directions, Rows, Hidden], Weight(2, Hidden))
            .Random("b", 3, directions, 2 * Rows)
            .Node("LSTM", "x,w,r,b", "y,h,c", ("hidden_size", Hidden), ("direction", direction)).Output("y", "h", "c");
    }

    private static float[] Values(OnnxModel model, string name) => model.ReadFloats(model.Graph.Initializer.Single(i => i.Name == name));
}
