using System.Collections.ObjectModel;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Quantization.Search;

namespace ModelBuildTasks.Engine.Tests.Passes.Quantization.Search;

[TestClass]
public sealed class OutputProbeTests
{
    [TestMethod]
    public void Noise_is_the_squared_error_summed_over_outputs_and_batches_and_sqnr_its_ratio_to_the_power()
    {
        var data = Batches([1, -2], [3, 0.5f]);
        // y = 2x, z = -x.
        var probe = OutputProbe.Open(Scaled(2), data, 8);
        Assert.AreEqual(2, probe.Count);
        CollectionAssert.AreEqual(new[] { "y", "z" }, probe.Outputs.ToArray());
        const double squares = 1 + 4 + 9 + 0.25;
        Assert.AreEqual((4 * squares) + squares, probe.Power, 1e-9);
        Assert.AreEqual(0, probe.Noise(Scaled(2)));
        Assert.AreEqual(0.25 * squares, probe.Noise(Scaled(2.5f)), 1e-9);
        Assert.AreEqual(10 * Math.Log10(5 / 0.25), probe.Sqnr(0.25 * squares), 1e-9);
        Assert.AreEqual((200, 200), (probe.Sqnr(0), probe.Sqnr(1e-30)));
        Assert.IsTrue(double.IsNegativeInfinity(probe.Sqnr(double.PositiveInfinity)));
    }

    [TestMethod]
    public void What_is_not_finite_is_infinitely_wrong_unless_the_float_model_gives_it_too()
    {
        var data = Batches([4, 0.25f]);
        var probe = OutputProbe.Open(Unary("Sqrt"), data, 8);
        Assert.AreEqual(4.25, probe.Power, 1e-9);
        // The root of a negative number; the logarithm of zero.
        Assert.AreEqual(double.PositiveInfinity, probe.Noise(new SmallModel().Input("x", 1, 2).Floats("one", [], 1).Node("Sub", "x,one", "a").Node("Sqrt", "a", "y").Output("y").Model));
        var broken = OutputProbe.Open(Unary("Log"), Batches([0, 1]), 8);
        Assert.AreEqual(0, broken.Power);
        Assert.AreEqual(0, broken.Noise(Unary("Log")));
        Assert.AreEqual(1, broken.Noise(Unary("Identity")), 1e-9);
        Assert.AreEqual((0, 200), (broken.Sqnr(1), broken.Sqnr(0)));
    }

    [TestMethod]
    public void Batches_are_spread_evenly_over_the_data()
    {
        var data = Batches([.. Enumerable.Range(0, 10).Select(i => new[] { MathF.Pow(2, i), 0 })]);
        Assert.AreEqual(Enumerable.Range(0, 5).Sum(i => Math.Pow(4, 2 * i)), OutputProbe.Open(Unary("Identity"), data, 5).Power);
        Assert.AreEqual(1 + 64 + Math.Pow(4, 6), OutputProbe.Open(Unary("Identity"), data, 3).Power);
        Assert.AreEqual(10, OutputProbe.Open(Unary("Identity"), data, 100).Count);
    }

    [TestMethod]
    public void A_stream_runs_from_its_start_in_order_and_each_model_gets_its_own_state()
    {
        // The sum of what came before: an offset of 0.5 grows from batch to batch until the next sequence begins.
        var data = new Stream([1, 2, 3, 4, 5], starts: [0, 3]);
        var probe = OutputProbe.Open(Sum(0), data, 4);
        Assert.AreEqual(4, probe.Count);
        Assert.AreEqual(2 * (1 + 9 + 36 + 16), probe.Power, 1e-9);
        Assert.AreEqual(2 * (0.25 + 1 + 2.25 + 0.25), probe.Noise(Sum(0.5f)), 1e-9);
        Assert.AreEqual(0, probe.Noise(Sum(0)));
    }

    private static ListDataset Batches(params float[][] values) => new([.. values.Select(v => ListDataset.Batch("x", [1, 2], v))]);

    private static OnnxModel Scaled(float by) =>
        new SmallModel().Input("x", 1, 2).Floats("s", [], by).Node("Mul", "x,s", "y").Node("Neg", "x", "z").Output("y", "z").Model;

    private static OnnxModel Unary(string op) => new SmallModel().Input("x", 1, 2).Node(op, "x", "y").Output("y").Model;

    /// <summary>y = sN = x + s + offset.</summary>
    private static OnnxModel Sum(float offset) => new SmallModel().Input("x", 1).Input("s", 1).Floats("o", [1], offset)
        .Node("Add", "x,s", "t").Node("Add", "t,o", "y").Node("Identity", "y", "sN").Output("y", "sN").Model;

    private sealed class Stream(float[] values, int[] starts) : IDataset
    {
        public long Count => values.Length;

        public bool HasLabels => false;

        public string Description => "stream";

        public string ContentHash => "";

        public IReadOnlyDictionary<string, string> Feedback { get; } = new ReadOnlyDictionary<string, string>(new Dictionary<string, string> { ["s"] = "sN" });

        public IEnumerable<Batch> Batches() => values.Select((v, i) =>
        {
            var inputs = new Dictionary<string, Tensor>(ListDataset.Batch("x", [1], v).Inputs) { ["s"] = Tensor.Of<float>(TensorProto.Types.DataType.Float, [1], [0f]) };
            return new Batch(inputs, null, 1) { SequenceStart = starts.Contains(i) };
        });
    }
}
