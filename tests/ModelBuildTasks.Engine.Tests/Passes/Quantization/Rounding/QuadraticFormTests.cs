using CsCheck;
using ModelBuildTasks.Engine.Passes.Quantization.Rounding;

namespace ModelBuildTasks.Engine.Tests.Passes.Quantization.Rounding;

[TestClass]
public sealed class QuadraticFormTests
{
    [TestMethod]
    public void Descent_is_never_worse_than_rounding_to_nearest_nor_better_than_the_best_there_is() =>
        Gen.Select(Gen.Int[1, 4], Gen.Int[0, 10000]).Sample((size, seed) =>
        {
            var (form, weight) = Random(size, seed);
            var nearest = weight.Select(w => Math.Round(w) - w).ToArray();
            var fromNearest = (double[])nearest.Clone();
            var descended = form.CoordinateDescent(weight, 127, fromNearest);
            var plane = new double[size];
            Assert.AreEqual(form.NearestPlane(weight, 127, plane), form.Value(plane), 1e-9);
            var both = form.CoordinateDescent(weight, 127, plane);
            Assert.AreEqual(descended, form.Value(fromNearest), 1e-9);
            Assert.IsLessThanOrEqualTo(form.Value(nearest) + 1e-9, descended);

            var least = double.PositiveInfinity;
            for (var pattern = 0; pattern < Math.Pow(7, size); pattern++)
            {
                var error = new double[size];
                for (int i = 0, rest = pattern; i < size; i++, rest /= 7)
                    error[i] = Math.Round(weight[i]) + rest % 7 - 3 - weight[i];
                least = Math.Min(least, form.Value(error));
            }

            Assert.IsGreaterThanOrEqualTo(least - 1e-9, Math.Min(descended, both));
        }, iter: 300);

    [TestMethod]
    public void Correlated_inputs_let_errors_cancel()
    {
        // x1 and x2 nearly alike: 0.4 + 0.4 is better 1 + 0 than 0 + 0.
        var form = new QuadraticForm([1, 0.99, 0.99, 1], 2, 0);
        double[] weight = [0.4, 0.4], error = [-0.4, -0.4];
        var after = form.CoordinateDescent(weight, 127, error);
        CollectionAssert.AreEquivalent(new[] { 0.0, 1.0 }, weight.Zip(error, (w, e) => Math.Round(w + e)).ToArray());
        Assert.AreEqual(0.36 + 0.16 - 2 * 0.99 * 0.24, after, 1e-12);
    }

    [TestMethod]
    public void Shrinkage_takes_its_share_of_the_moments_off_the_diagonal_and_all_of_it_is_rounding_to_nearest()
    {
        CollectionAssert.AreEqual(new[] { 1.0, 0.7 * 0.99, 0.7 * 0.99, 2 }, new QuadraticForm([1, 0.99, 0.99, 2], 2, 0, 0.3).H);
        double[] weight = [0.4, 0.4], error = [-0.4, -0.4];
        new QuadraticForm([1, 0.99, 0.99, 1], 2, 0, 1).CoordinateDescent(weight, 127, error);
        CollectionAssert.AreEqual(new[] { -0.4, -0.4 }, error);
    }

    [TestMethod]
    public void Few_and_similar_rows_need_shrinkage_to_be_better_than_nearest_on_other_rows()
    {
        const int Size = 48;
        var (few, other) = (Stream(300, 1), Stream(20000, 2));
        var (without, with) = (new QuadraticForm([.. few], Size, RowRounding.Damping), new QuadraticForm([.. few], Size, RowRounding.Damping, RowRounding.Shrinkage));
        var judge = new QuadraticForm(other, Size, 0);
        double nearest = 0, plain = 0, shrunk = 0;
        for (var row = 0; row < 24; row++)
        {
            var random = new Random(100 + row);
            var weight = Enumerable.Range(0, Size).Select(_ => 20 * random.NextDouble() - 10).ToArray();
            var error = weight.Select(w => Math.Round(w) - w).ToArray();
            nearest += judge.Value(error);
            plain += After(without, weight, error);
            shrunk += After(with, weight, error);
        }

        Assert.IsLessThan(0.9 * plain, shrunk);
        Assert.IsLessThan(nearest, shrunk);

        double After(QuadraticForm form, double[] weight, double[] nearest)
        {
            var error = (double[])nearest.Clone();
            form.CoordinateDescent(weight, 127, error);
            return judge.Value(error);
        }
    }

    /// <summary>Moments of a stream that changes slowly: neighbouring columns are alike, and so are neighbouring rows.</summary>
    private static double[] Stream(int rows, int seed)
    {
        const int Size = 48;
        var random = new Random(seed);
        var (moments, row) = (new double[Size * Size], new double[Size]);
        for (var r = 0; r < rows; r++)
        {
            double last = 0;
            for (var c = 0; c < Size; c++)
                row[c] = 0.9 * row[c] + (last = 0.6 * last + random.NextDouble() - 0.5);
            for (var i = 0; i < moments.Length; i++)
                moments[i] += row[i / Size] * row[i % Size] / rows;
        }

        return moments;
    }

    [TestMethod]
    public void Codes_stay_inside_the_limit()
    {
        var (form, _) = Random(6, 3);
        double[] weight = [63, -63, 62.7, -62.6, 70, -80];
        foreach (var start in new Action<double[]>[] { e => form.NearestPlane(weight, 63, e), e => AdaRound.Round(form, weight, 63, 50, e) })
        {
            var error = new double[6];
            start(error);
            form.CoordinateDescent(weight, 63, error);
            for (var i = 0; i < 6; i++)
                Assert.IsLessThanOrEqualTo(63, Math.Abs(Math.Round(weight[i] + error[i])));
        }
    }

    [TestMethod]
    public void A_matrix_that_is_not_definite_is_damped_until_it_is()
    {
        var form = new QuadraticForm([1, 1, 1, 1 - 1e-6], 2, 0);
        Assert.IsGreaterThan(0, form.Value([1, -1]));
        Assert.IsGreaterThan(0, new QuadraticForm(new double[4], 2, 0.01).Value([1, 0]));
    }

    internal static (QuadraticForm Form, double[] Weight) Random(int size, int seed)
    {
        var random = new Random(seed);
        var samples = Enumerable.Range(0, size + 2).Select(_ => Enumerable.Range(0, size).Select(_ => random.NextDouble() + 0.3).ToArray()).ToArray();
        var moments = new double[size * size];
        for (var i = 0; i < moments.Length; i++)
            moments[i] = samples.Average(s => s[i / size] * s[i % size]);
        return (new QuadraticForm(moments, size, 0.01), [.. Enumerable.Range(0, size).Select(_ => random.NextDouble() * 20 - 10)]);
    }
}
