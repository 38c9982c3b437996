using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Passes.Pruning;
using ModelBuildTasks.Engine.Passes.Pruning.Methods;

namespace ModelBuildTasks.Engine.Tests.Passes.Pruning;

[TestClass]
public sealed class SparseMethodTests
{
    [TestMethod]
    [DataRow(4)]
    [DataRow(12)]
    public void SparseGpt_is_elimination_column_by_column_with_the_mask_of_a_block_at_a_time(int block)
    {
        const int Rows = 5, Columns = 12;
        var layer = SparseCase.Product(Rows, Columns, SparseCase.Single, seed: 3);
        var h = layer.Form(0).H;
        var w = Enumerable.Range(0, Rows).Select(r => layer.Row(layer.Values, r)).ToArray();
        for (var begin = 0; begin < Columns; begin += block)
        {
            var scores = new List<(double Score, int Row, int Column)>();
            for (var c = begin; c < begin + block; c++)
            {
                var rest = SparseCase.Inverse(h, Columns, [.. Enumerable.Range(c, Columns - c)]);
                for (var r = 0; r < Rows; r++)
                    scores.Add((w[r][c] * w[r][c] / rest[0, 0], r, c));
            }

            var gone = scores.OrderBy(s => s.Score).Take(Rows * block / 2).Select(s => (s.Row, s.Column)).ToHashSet();
            for (var c = begin; c < begin + block; c++)
            {
                var rest = SparseCase.Inverse(h, Columns, [.. Enumerable.Range(c, Columns - c)]);
                for (var r = 0; r < Rows; r++)
                {
                    if (!gone.Contains((r, c)))
                        continue;
                    var error = w[r][c] / rest[0, 0];
                    for (var j = c; j < Columns; j++)
                        w[r][j] -= error * rest[0, j - c];
                    w[r][c] = 0;
                }
            }
        }

        var found = SparseGpt.Run(layer, Rows * Columns / 2, block);

        for (var r = 0; r < Rows; r++)
        {
            var row = layer.Row(found, r);
            for (var c = 0; c < Columns; c++)
                Assert.AreEqual(w[r][c], row[c], 1e-4, $"{r},{c}");
        }

        Assert.AreEqual(Rows * Columns / 2, SparseCase.Zeros(found));
    }

    [TestMethod]
    public void Exact_OBS_takes_the_cheapest_weight_each_time_and_the_rest_makes_up_for_it()
    {
        const int Columns = 9;
        var layer = SparseCase.Product(3, Columns, SparseCase.Single, seed: 5);
        var traces = ExactObs.Traces(layer, Columns);
        for (var r = 0; r < 3; r++)
        {
            var h = layer.Form(r).H;
            var w = layer.Row(layer.Values, r);
            var kept = Enumerable.Range(0, Columns).ToList();
            var before = 0.0;
            for (var step = 0; step < Columns - 1; step++)
            {
                // Brute force: each weight that is left is tried, and all others are fitted again.
                var best = kept.MinBy(c => SparseCase.Loss(h, w, SparseCase.Fit(h, w, [.. kept.Where(k => k != c)])));
                kept.Remove(best);
                var loss = SparseCase.Loss(h, w, SparseCase.Fit(h, w, [.. kept]));
                Assert.AreEqual(best, traces[r].Units[step], $"row {r}, step {step}");
                Assert.AreEqual(loss - before, traces[r].Losses[step], 1e-6 * (1 + loss));
                before = loss;
            }
        }
    }

    [TestMethod]
    public void Exact_OBS_leaves_weights_that_no_fit_makes_better()
    {
        var layer = SparseCase.Product(4, 10, SparseCase.Single, seed: 6);

        var found = ExactObs.Run(layer, 20);

        Assert.AreEqual(20, SparseCase.Zeros(found));
        for (var r = 0; r < 4; r++)
        {
            var row = layer.Row(found, r);
            var fit = SparseCase.Fit(layer.Form(r).H, layer.Row(layer.Values, r), [.. Enumerable.Range(0, 10).Where(c => row[c] != 0)]);
            for (var c = 0; c < 10; c++)
                Assert.AreEqual(fit[c], row[c], 1e-4);
        }
    }

    [TestMethod]
    public void Exact_OBS_of_one_row_with_one_weight_to_go_is_the_best_of_all()
    {
        for (var seed = 0; seed < 10; seed++)
        {
            var layer = SparseCase.Product(1, 6, SparseCase.Single, seed);
            var w = layer.Row(layer.Values, 0);
            var best = Enumerable.Range(0, 6).Min(c => SparseCase.Loss(layer.Form(0).H, w, SparseCase.Fit(layer.Form(0).H, w, [.. Enumerable.Range(0, 6).Where(k => k != c)])));
            Assert.AreEqual(best, layer.Loss(ExactObs.Run(layer, 1)), 1e-5 * best + 1e-9);
        }
    }

    [TestMethod]
    public void A_block_goes_as_one_at_the_loss_of_all_its_rows()
    {
        var layer = SparseCase.Product(4, 8, SparseCase.Block(2, 2), seed: 7);
        var trace = ExactObs.Traces(layer, 1)[0];
        double Without(int block) => Enumerable.Range(0, 2).Sum(r => SparseCase.Loss(layer.Form(r).H, layer.Row(layer.Values, r),
            SparseCase.Fit(layer.Form(r).H, layer.Row(layer.Values, r), [.. Enumerable.Range(0, 8).Where(c => c / 2 != block)])));

        var best = Enumerable.Range(0, 4).MinBy(Without);

        Assert.AreEqual(best, trace.Units[0]);
        Assert.AreEqual(Without(best), trace.Losses[0], 1e-6);
    }

    [TestMethod]
    public void Wanda_compares_weight_times_norm_within_a_row()
    {
        // Norms of the inputs are 1, 2, 10 and 4; a weight [in, out] has its rows in columns.
        double[] moments = [1, 0, 0, 0, 0, 4, 0, 0, 0, 0, 100, 0, 0, 0, 0, 16];
        var layer = SparseCase.Product(2, 4, SparseCase.Single, values: [5, 40, 3, 30, 0.4f, 7, 1, 1], moments: moments);

        var mask = ScoreMask.Choose(layer, ScoreMask.Scores(layer, PruneMethod.Wanda), 4, ComparedWithin.Row);

        // Row 0: 5·1, 3·2, 0.4·10, 1·4 -> 0.4 and 1 go. Row 1: 40·1, 30·2, 7·10, 1·4 -> 40 and 1 go.
        CollectionAssert.AreEqual(new float[] { 5, 0, 3, 30, 0, 7, 0, 0 }, ScoreMask.Apply(layer.Values, mask));
    }

    [TestMethod]
    [DataRow(PruneMethod.Magnitude)]
    [DataRow(PruneMethod.Wanda)]
    [DataRow(PruneMethod.SparseGpt)]
    [DataRow(PruneMethod.Obs)]
    [DataRow(PruneMethod.Auto)]
    public void Of_each_four_input_channels_two_are_left_in_every_tap(PruneMethod method)
    {
        var layer = SparseCase.Convolution(6, 8, SparseCase.Pattern(2, 4), seed: 8);

        var found = LayerPruning.Prune(layer, method, PruneRepair.Auto, 0, 1e9).Values;

        for (var output = 0; output < 6; output++)
        {
            for (var tap = 0; tap < 3; tap++)
            {
                for (var first = 0; first < 8; first += 4)
                    Assert.AreEqual(2, Enumerable.Range(first, 4).Count(c => found[(output * 8 + c) * 3 + tap] != 0), $"{output} {tap} {first}");
            }
        }
    }

    [TestMethod]
    [DataRow(PruneMethod.Magnitude)]
    [DataRow(PruneMethod.Wanda)]
    [DataRow(PruneMethod.SparseGpt)]
    [DataRow(PruneMethod.Obs)]
    public void Blocks_are_zero_as_a_whole_or_not_at_all(PruneMethod method)
    {
        var layer = SparseCase.Convolution(4, 6, SparseCase.Block(2, 3), seed: 9);

        var found = LayerPruning.Prune(layer, method, PruneRepair.Auto, 36, 1e9).Values;

        Assert.AreEqual(36, SparseCase.Zeros(found));
        for (var output = 0; output < 4; output += 2)
        {
            for (var tap = 0; tap < 3; tap++)
            {
                foreach (var first in new[] { 0, 3 })
                {
                    var zeros = Enumerable.Range(0, 6).Count(i => found[((output + i / 3) * 6 + first + i % 3) * 3 + tap] == 0);
                    Assert.IsTrue(zeros is 0 or 6);
                }
            }
        }
    }

    [TestMethod]
    public void A_refit_is_the_least_squares_fit_of_what_is_left_whichever_way_it_is_found()
    {
        var layer = SparseCase.Product(3, 14, SparseCase.Single, seed: 10);
        var masked = ScoreMask.Apply(layer.Values, ScoreMask.Choose(layer, ScoreMask.Scores(layer, PruneMethod.Magnitude), 21, ComparedWithin.Layer));

        var solved = MaskedRefit.Run(layer, masked);
        var descended = MaskedRefit.Run(layer, masked, mostColumns: 0);

        Assert.IsLessThan(0.8 * layer.Loss(masked), layer.Loss(solved));
        for (var r = 0; r < 3; r++)
        {
            var kept = Enumerable.Range(0, 14).Where(c => layer.Row(masked, r)[c] != 0).ToArray();
            var fit = SparseCase.Fit(layer.Form(r).H, layer.Row(layer.Values, r), kept);
            for (var c = 0; c < 14; c++)
            {
                Assert.AreEqual(fit[c], layer.Row(solved, r)[c], 1e-4);
                Assert.AreEqual(fit[c], layer.Row(descended, r)[c], 1e-3);
            }
        }
    }

    [TestMethod]
    public void The_better_informed_method_loses_less_and_auto_no_more_than_any()
    {
        double[] losses = new double[5];
        for (var seed = 20; seed < 30; seed++)
        {
            var layer = SparseCase.Product(16, 24, SparseCase.Single, seed);
            foreach (var (i, method) in new[] { PruneMethod.Magnitude, PruneMethod.Wanda, PruneMethod.SparseGpt, PruneMethod.Obs, PruneMethod.Auto }.Index())
                losses[i] += LayerPruning.Prune(layer, method, PruneRepair.Auto, 16 * 12, 1e9).Loss!.Value;
        }

        Assert.IsLessThan(losses[0], losses[1]);
        Assert.IsLessThan(0.6 * losses[1], losses[2]);
        Assert.IsLessThan(losses[2], losses[3]);
        Assert.IsLessThanOrEqualTo(losses[3], losses[4]);
    }

    [TestMethod]
    [DataRow(PruneMethod.SparseGpt)]
    [DataRow(PruneMethod.Obs)]
    [DataRow(PruneMethod.Wanda)]
    public void What_was_zero_before_stays_zero_and_counts(PruneMethod method)
    {
        var values = SmallModel.Values(11, 40);
        foreach (var i in new[] { 1, 5, 6, 7, 20, 33 })
            values[i] = 0;
        foreach (var shape in new[] { SparseCase.Single, SparseCase.Pattern(2, 4) })
        {
            var layer = SparseCase.Product(5, 8, shape, seed: 12, values: values);

            var found = LayerPruning.Prune(layer, method, PruneRepair.Refit, 20, 1e9).Values;

            Assert.IsTrue(values.Index().All(v => v.Item != 0 || found[v.Index] == 0));
            if (!shape.IsPattern)
                Assert.AreEqual(20, SparseCase.Zeros(found));
        }
    }
}
