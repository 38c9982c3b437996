using CsCheck;
using ModelBuildTasks.Engine.Autodiff;
using ModelBuildTasks.Engine.Autodiff.Losses;
using ModelBuildTasks.Engine.Execution;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Tests.Autodiff;

/// <summary>Gradients that have a short formula, computed by it in double: no step of a difference blurs them.</summary>
[TestClass]
public sealed class FormulaTests
{
    [TestMethod]
    public void A_product() => Gen.Select(Gen.Int[1, 7], Gen.Int[1, 7], Gen.Int[1, 7]).Each(
        s =>
        {
            var (m, k, n) = s;
            var (a, b) = (SmallModel.Values(1, m * k), SmallModel.Values(2, k * n));
            var (g, found) = Run(new SmallModel().Random("a", 1, m, k).Random("b", 2, k, n).Node("MatMul", "a,b", "y").Output("y"));
            // dA = G·Bᵀ, dB = Aᵀ·G
            Same([.. Pairs(m, k).Select(p => Enumerable.Range(0, n).Sum(j => g[(p.I * n) + j] * b[(p.J * n) + j]))], found["a"]);
            Same([.. Pairs(k, n).Select(p => Enumerable.Range(0, m).Sum(i => a[(i * k) + p.I] * g[(i * n) + p.J]))], found["b"]);
        },
        20);

    [TestMethod]
    public void A_convolution_of_one_axis() => Gen.Select(Gen.Int[1, 3], Gen.Int[1, 3], Gen.Int[1, 3], Gen.Int[4, 8], Gen.Int[1, 3]).Each(
        (batch, inputs, outputs, length, kernel) =>
        {
            var (x, w, last) = (SmallModel.Values(1, batch * inputs * length), SmallModel.Values(2, outputs * inputs * kernel), length - kernel + 1);
            var (g, found) = Run(new SmallModel().Random("x", 1, batch, inputs, length).Random("w", 2, outputs, inputs, kernel).Random("b", 3, outputs).Node("Conv", "x,w,b", "y").Output("y"));
            double[] dx = new double[x.Length], dw = new double[w.Length], db = new double[outputs];
            for (var n = 0; n < batch; n++)
            {
                for (var o = 0; o < outputs; o++)
                {
                    for (var t = 0; t < last; t++)
                    {
                        var d = g[(((n * outputs) + o) * last) + t];
                        db[o] += d;
                        for (var c = 0; c < inputs; c++)
                        {
                            for (var i = 0; i < kernel; i++)
                            {
                                dx[(((n * inputs) + c) * length) + t + i] += d * w[(((o * inputs) + c) * kernel) + i];
                                dw[(((o * inputs) + c) * kernel) + i] += d * x[(((n * inputs) + c) * length) + t + i];
                            }
                        }
                    }
                }
            }

            Same(dx, found["x"]);
            Same(dw, found["w"]);
            Same(db, found["b"]);
        },
        20);

    [TestMethod]
    [DataRow("Softmax")]
    [DataRow("LogSoftmax")]
    public void Softmax_of_rows(string op) => Gen.Select(Gen.Int[1, 5], Gen.Int[1, 7]).Each(
        s =>
        {
            var (rows, n) = s;
            var x = SmallModel.Values(1, rows * n);
            var (g, found) = Run(new SmallModel().Random("x", 1, rows, n).Node(op, "x", "y").Output("y"));
            for (var r = 0; r < rows; r++)
            {
                double[] e = [.. x[(r * n)..((r + 1) * n)].Select(v => Math.Exp(v))];
                double[] p = [.. e.Select(v => v / e.Sum())], mine = [.. g[(r * n)..((r + 1) * n)]];
                // p∘(g − Σ g·p), and g − p·Σ g
                var expected = op == "Softmax" ? p.Zip(mine, (q, d) => q * (d - p.Zip(mine, (u, v) => u * v).Sum())) : mine.Zip(p, (d, q) => d - (q * mine.Sum()));
                Same([.. expected], found["x"][(r * n)..((r + 1) * n)]);
            }
        },
        20);

    [TestMethod]
    public void A_layer_norm() => Gen.Select(Gen.Int[1, 5], Gen.Int[3, 8]).Each(
        s =>
        {
            var (rows, n) = s;
            var (x, scale) = (SmallModel.Values(1, rows * n), SmallModel.Values(2, n));
            var (g, found) = Run(new SmallModel().Random("x", 1, rows, n).Random("s", 2, n).Random("b", 3, n).Node("LayerNormalization", "x,s,b", "y", ("epsilon", 0.01f)).Output("y"));
            double[] ds = new double[n], db = new double[n];
            for (var r = 0; r < rows; r++)
            {
                double[] row = [.. x[(r * n)..((r + 1) * n)].Select(v => (double)v)], mine = g[(r * n)..((r + 1) * n)];
                var deviation = Math.Sqrt(row.Sum(v => (v - row.Average()) * (v - row.Average())) / n + 0.01f);
                double[] hat = [.. row.Select(v => (v - row.Average()) / deviation)], h = [.. mine.Zip(scale, (d, v) => d * v)];
                // (h − mean h − x̂·mean(h∘x̂)) / σ
                var along = h.Zip(hat, (a, b) => a * b).Average();
                Same([.. h.Zip(hat, (d, v) => (d - h.Average() - (v * along)) / deviation)], found["x"][(r * n)..((r + 1) * n)]);
                for (var c = 0; c < n; c++)
                    (ds[c], db[c]) = (ds[c] + (mine[c] * hat[c]), db[c] + mine[c]);
            }

            Same(ds, found["s"]);
            Same(db, found["b"]);
        },
        20);

    [TestMethod]
    [DataRow("Relu")]
    [DataRow("Sigmoid")]
    [DataRow("Tanh")]
    [DataRow("Exp")]
    [DataRow("Softplus")]
    [DataRow("Erf")]
    [DataRow("Cosh")]
    [DataRow("Asinh")]
    public void Functions_of_one_value(string op)
    {
        var x = SmallModel.Values(1, 60);
        var (g, found) = Run(new SmallModel().Random("x", 1, 60).Node(op, "x", "y").Output("y"));
        Same([.. x.Zip(g, (v, d) => d * op switch
        {
            "Relu" => v > 0 ? 1.0 : 0,
            "Sigmoid" => 1 / (1 + Math.Exp(-v)) * (1 - (1 / (1 + Math.Exp(-v)))),
            "Tanh" => 1 - (Math.Tanh(v) * Math.Tanh(v)),
            "Exp" => Math.Exp(v),
            "Softplus" => 1 / (1 + Math.Exp(-v)),
            "Erf" => 2 / Math.Sqrt(Math.PI) * Math.Exp(-(double)v * v),
            "Cosh" => Math.Sinh(v),
            _ => 1 / Math.Sqrt(((double)v * v) + 1),
        })], found["x"]);
    }

    /// <summary>The gradient at y of a mean of squares, by its formula 2·(y − target)/count, and the gradients that the graph gives.</summary>
    private static (double[] Y, Dictionary<string, float[]> Found) Run(SmallModel small)
    {
        var weights = small.Graph.Initializer.Select(t => t.Name).ToList();
        var none = new Dictionary<string, Tensor>();
        var graph = Gradients.Build(small.Model, new GradientRequest(weights, [new LossTerm(LossKind.SquaredError, "y")], none));
        using var plain = new Session(small.Model, new SessionSettings());
        var y = plain.Run(none)["y"];
        var target = SmallModel.Tensor(99, y.Shape);
        var inputs = small.Graph.Initializer.ToDictionary(t => t.Name, t => Tensor.Of<float>(DataType.Float, [.. t.Dims], small.Model.ReadFloats(t)));
        inputs[graph.Targets[0]] = target;
        using var session = new Session(graph.Model, new SessionSettings());
        var results = session.Run(inputs);
        return ([.. y.ToFloats().Zip(target.ToFloats(), (a, b) => 2.0 * ((double)a - b) / y.Count)], weights.ToDictionary(w => w, w => results[graph.Outputs[w]].ToFloats()));
    }

    private static IEnumerable<(int I, int J)> Pairs(int rows, int columns) => Enumerable.Range(0, rows * columns).Select(p => (p / columns, p % columns));

    private static void Same(double[] expected, float[] found)
    {
        Assert.HasCount(expected.Length, found);
        var size = Math.Max(1e-3, expected.Max(Math.Abs));
        for (var i = 0; i < expected.Length; i++)
            Assert.AreEqual(expected[i], found[i], 1e-5 * size, $"{i}");
    }
}
