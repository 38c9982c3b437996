using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Passes.Quantization.Search;
using ModelBuildTasks.Engine.Statistics;
using ModelBuildTasks.Engine.Tests.Passes.Quantization;

namespace ModelBuildTasks.Engine.Tests.Passes.Pruning;

/// <summary>Weights whose products are scores of classes.</summary>
[TestClass]
public sealed class ScoreTests
{
    private static readonly SourceLocation At = new("test");

    [TestMethod]
    [DataRow(false)]
    [DataRow(true)]
    public void Moments_are_those_of_the_formula_however_rows_come(bool split)
    {
        const int Rows = 150, Columns = 5, Classes = 3;
        var values = SmallModel.Values(3, Rows * (Columns + Classes));
        float[] bias = [0.5f, -1, 2], behind = [1, 0, -3];
        var moments = new ScoreMoments("v", Columns, Classes, bias, behind);
        var per = split ? 50 : Rows;
        for (var b = 0; b < Rows / per; b++)
        {
            moments.Add(b, per, values.AsSpan(b * per * (Columns + Classes), per * (Columns + Classes)), [per, Columns + Classes]);
            moments.End(b);
        }

        moments.Complete();
        Assert.IsTrue(moments.IsValid);

        // In double, row by row.
        var rows = values.Chunk(Columns + Classes).Select(r => (X: r[..Columns].Select(v => (double)v).ToArray(), Y: r[Columns..].Select(v => (double)v).ToArray())).ToArray();
        var weights = rows.Select(r =>
        {
            var e = r.Y.Select((y, c) => Math.Exp(y + behind[c])).ToArray();
            return e.Select(v => v / e.Sum() * (1 - (v / e.Sum()))).ToArray();
        }).ToArray();
        var rowsInDoubt = Enumerable.Range(0, Classes).Sum(c => Math.Pow(weights.Sum(w => w[c]), 3) / weights.Sum(w => w[c] * w[c])) / weights.Sum(w => w.Sum());
        Assert.AreEqual(rowsInDoubt, moments.RowsInDoubt, 1e-2);
        var average = weights.Sum(w => w.Sum()) / Rows / Classes;
        for (var c = 0; c < Classes; c++)
        {
            var w = weights.Select(row => (row[c] / average) + ScoreMoments.Plain).ToArray();
            double Mean(Func<int, double> value) => Enumerable.Range(0, Rows).Sum(t => w[t] * value(t)) / Rows;
            double Y(int t) => rows[t].Y[c] - bias[c];
            var (plain, centered) = (moments.Of(c, false), moments.Of(c, true));
            var total = Mean(_ => 1);
            Assert.AreEqual(Mean(Y) / total, plain.Mean, 1e-5);
            for (var i = 0; i < Columns; i++)
            {
                var mean = Mean(t => rows[t].X[i]) / total;
                Assert.AreEqual(mean, plain.Means[i], 1e-5);
                Assert.AreEqual(Mean(t => Y(t) * rows[t].X[i]), plain.Cross[i], 1e-5);
                Assert.AreEqual(Mean(t => (Y(t) - (Mean(Y) / total)) * (rows[t].X[i] - mean)), centered.Cross[i], 1e-5);
                for (var j = 0; j < Columns; j++)
                {
                    Assert.AreEqual(Mean(t => rows[t].X[i] * rows[t].X[j]), plain.Moments[(i * Columns) + j], 1e-5);
                    Assert.AreEqual(Mean(t => (rows[t].X[i] - mean) * (rows[t].X[j] - (Mean(u => rows[u].X[j]) / total))), centered.Moments[(i * Columns) + j], 1e-5);
                }
            }
        }
    }

    [TestMethod]
    [DataRow("MatMul", PruneMethod.SparseGpt)]
    [DataRow("MatMul", PruneMethod.Obs)]
    [DataRow("MatMul", PruneMethod.Auto)]
    [DataRow("MatMulAdd", PruneMethod.SparseGpt)]
    [DataRow("Gemm", PruneMethod.SparseGpt)]
    public void The_answers_of_a_classifier_change_less_than_with_the_squared_error(string op, PruneMethod method)
    {
        var model = Classifier(op);
        var data = ListDataset.Random(model, 40);
        var other = new ListDataset([.. ListDataset.Random(model, 60).Batches().Skip(40)]);
        var plan = new PrunePlan(At, 0.5) { Method = method };
        var loss = new[] { OutputLoss.Values, OutputLoss.Auto }.Select(l => Divergence(model, Prune.Run(model, plan with { Loss = l }, QuantizeTests.Context(data)).Model, other)).ToArray();

        Assert.IsLessThan(0.75 * loss[0], loss[1]);
    }

    [TestMethod]
    public void Names_and_threads_change_nothing()
    {
        var (one, other) = (Classifier("Gemm"), Classifier("Gemm", prefix: "other_"));
        var (data, named) = (ListDataset.Random(one, 20), ListDataset.Random(other, 20));
        var plan = new PrunePlan(At, 0.5) { Method = PruneMethod.SparseGpt };

        var first = Prune.Run(one, plan, QuantizeTests.Context(data)).Model;
        var threads = Prune.Run(one, plan, QuantizeTests.Context(data) with { Threads = 3 }).Model;
        var second = Prune.Run(other, plan, QuantizeTests.Context(named)).Model;

        CollectionAssert.AreEqual(first.ToBytes(), threads.ToBytes());
        CollectionAssert.AreNotEqual(first.ToBytes(), Prune.Run(one, plan with { Loss = OutputLoss.Values }, QuantizeTests.Context(data)).Model.ToBytes());
        foreach (var (a, b) in first.Graph.Initializer.Zip(second.Graph.Initializer))
            CollectionAssert.AreEqual(first.ReadFloats(a), second.ReadFloats(b));
    }

    [TestMethod]
    [DataRow(OutputLoss.Scores, true)]
    [DataRow(OutputLoss.Auto, true)]
    [DataRow(OutputLoss.Values, false)]
    public void The_report_says_what_was_pruned_by_class_scores(OutputLoss loss, bool says)
    {
        var model = Classifier("Gemm");
        var result = Prune.Run(model, new PrunePlan(At, 0.5) { Loss = loss, Method = PruneMethod.SparseGpt }, QuantizeTests.Context(ListDataset.Random(model, 40)));
        Assert.AreEqual(says, result.Decisions[^1].Reason.Contains("by class scores", StringComparison.Ordinal), result.Decisions[^1].Reason);
    }

    [TestMethod]
    public void A_number_for_each_row_is_none_for_each_class()
    {
        var small = new SmallModel().Input("x", 24, 16).Random("w", 1, 16, 24).Random("rows", 2, 24, 1).Node("MatMul", "x,w", "a").Node("Add", "a,rows", "y").Output("y");
        var data = ListDataset.Random(small.Model, 20);
        var plan = new PrunePlan(At, 0.5) { Method = PruneMethod.SparseGpt };
        Assert.DoesNotContain("by class scores", Prune.Run(small.Model, plan, QuantizeTests.Context(data)).Decisions[^1].Reason);
    }

    [TestMethod]
    public void Probabilities_are_such_also_behind_a_cast()
    {
        var small = new SmallModel().Input("x", 4, 8).Random("w", 1, 8, 6).Node("MatMul", "x,w", "a").Node("Softmax", "a", "p").Node("Cast", ["p"], ["y"], n => n.Set("to", (long)Engine.Onnx.TensorProto.Types.DataType.Float16)).Output("y", Engine.Onnx.TensorProto.Types.DataType.Float16);
        Assert.IsTrue(ScoreOutput.Of(small.Model, OutputLoss.Auto).Values.Single().IsProbability);
    }

    [TestMethod]
    public void A_regressor_and_a_single_score_are_pruned_by_the_squared_error()
    {
        foreach (var small in new[]
        {
            new SmallModel().Input("x", 8, 16).Random("w", 1, 16, 1).Node("MatMul", "x,w", "y").Output("y"),
            new SmallModel().Input("x", 8, 16).Random("w", 1, 16, 8).Node("MatMul", "x,w", "a").Node("Tanh", "a", "y").Output("y"),
        })
        {
            var data = ListDataset.Random(small.Model, 10);
            var plan = new PrunePlan(At, 0.5) { Method = PruneMethod.SparseGpt };
            CollectionAssert.AreEqual(Prune.Run(small.Model, plan with { Loss = OutputLoss.Values }, QuantizeTests.Context(data)).Model.ToBytes(), Prune.Run(small.Model, plan, QuantizeTests.Context(data)).Model.ToBytes());
        }
    }

    [TestMethod]
    public void Scores_far_from_zero_are_the_same_scores()
    {
        var values = SmallModel.Values(3, 100 * 7);
        ClassMoments Of(float more)
        {
            var moments = new ScoreMoments("v", 4, 3, null, [more, more, more]);
            moments.Add(0, 100, values, [100, 7]);
            moments.End(0);
            moments.Complete();
            Assert.IsTrue(moments.IsValid);
            return moments.Of(1, centered: false);
        }

        foreach (var more in new[] { 100f, -120f })
        {
            foreach (var (a, b) in Of(0).Moments.Zip(Of(more).Moments))
                Assert.AreEqual(a, b, 1e-4);
        }
    }

    [TestMethod]
    public void Few_rows_are_no_measure_of_doubt()
    {
        var model = Classifier("Gemm");
        var data = ListDataset.Random(model, 3);
        var plan = new PrunePlan(At, 0.5) { Method = PruneMethod.SparseGpt };
        CollectionAssert.AreEqual(Prune.Run(model, plan with { Loss = OutputLoss.Values }, QuantizeTests.Context(data)).Model.ToBytes(), Prune.Run(model, plan, QuantizeTests.Context(data)).Model.ToBytes());
    }

    [TestMethod]
    [DataRow(false)]
    [DataRow(true)]
    public void Divergence_and_curvature_are_those_of_the_formulas_along_the_axis(bool probabilities)
    {
        // [1, 3, 2]: two positions of three classes.
        float[] reference = [0.7f, 0.2f, 0.2f, 0.5f, 0.1f, 0.3f], output = [0.6f, 0.1f, 0.3f, 0.5f, 0.1f, 0.4f];
        double[] P(float[] v, int at)
        {
            double[] of = [v[at], v[2 + at], v[4 + at]];
            return probabilities ? of : [.. of.Select(x => Math.Exp(x) / of.Sum(Math.Exp))];
        }

        var (divergence, curvature) = (0.0, 0.0);
        for (var at = 0; at < 2; at++)
        {
            divergence += P(reference, at).Zip(P(output, at), (p, q) => p * Math.Log(p / q)).Sum();
            curvature += P(reference, at).Sum(p => p * (1 - p));
        }

        foreach (var axis in new[] { 1, -2 })
        {
            var score = new ScoreOutput(axis, probabilities);
            Assert.IsTrue(score.Fits([1, 3, 2]));
            Assert.AreEqual(divergence, score.Divergence(reference, output, [1, 3, 2]), 1e-6);
            Assert.AreEqual(curvature, score.Curvature(reference, [1, 3, 2]).Sum, 1e-6);
        }

        Assert.IsFalse(new ScoreOutput(-1, probabilities).Fits([4, 1]));
        Assert.AreEqual(double.PositiveInfinity, new ScoreOutput(-1, false).Divergence([1, 2], [1, float.NaN], [1, 2]));
    }

    /// <summary>Some of 24 classes are likely, and most are not.</summary>
    private static OnnxModel Classifier(string op, string prefix = "")
    {
        var biases = Enumerable.Range(0, 24).Select(i => i % 8 == 0 ? 3f : -i / 6f).ToArray();
        var weights = SmallModel.Values(2, 32 * 24).Select((v, i) => (0.3f * v) + (i % 24 % 8 == 0 ? 0.1f : -0.15f)).ToArray();
        var small = new SmallModel().Input($"{prefix}x", 8, 16).Random($"{prefix}u", 1, 16, 32).Floats($"{prefix}w", [32, 24], weights).Floats($"{prefix}b", [24], biases)
            .Node("MatMul", $"{prefix}x,{prefix}u", $"{prefix}h").Node("Relu", $"{prefix}h", $"{prefix}r");
        (_, string end) = op switch
        {
            "Gemm" => (small.Node("Gemm", $"{prefix}r,{prefix}w,{prefix}b", $"{prefix}y"), "y"),
            "MatMulAdd" => (small.Node("MatMul", $"{prefix}r,{prefix}w", $"{prefix}m").Node("Add", $"{prefix}m,{prefix}b", $"{prefix}y"), "y"),
            _ => (small.Node("MatMul", $"{prefix}r,{prefix}w", $"{prefix}y"), "y"),
        };
        return small.Output($"{prefix}{end}").Model;
    }

    private static double Divergence(OnnxModel reference, OnnxModel model, ListDataset data)
    {
        var probe = OutputProbe.Open(reference, data, int.MaxValue, OutputLoss.Scores);
        var values = OutputProbe.Open(reference, data, int.MaxValue);
        // What the probe adds for the plain error is taken off.
        return probe.Noise(model) - (ScoreOutput.Plain * values.Noise(model));
    }
}
