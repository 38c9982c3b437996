using System.Runtime.Intrinsics;
using CsCheck;
using ModelBuildTasks.Engine.Passes.Quantization.Bits;
using ModelBuildTasks.Engine.Passes.Quantization.Rounding;

namespace ModelBuildTasks.Engine.Tests.Passes.Quantization.Bits;

[TestClass]
public sealed class BitAlgorithmTests
{
    [TestMethod]
    public void Planes_of_signs_leave_of_gaussian_weights_what_theory_says()
    {
        const int Rows = 24, Columns = 8192;
        var values = Gaussian(1, Rows * Columns);
        var layout = new RowLayout(Rows, Columns, Columns, 1);
        // 1 − 2/π; then the same of |x| around its mean.
        Assert.AreEqual(0.363, Left(values, BitPlanes.Of(values, layout, 0, 1, true, 2).Decode()), 0.004);
        Assert.AreEqual(0.130, Left(values, BitPlanes.Of(values, layout, 0, 2, true, 2).Decode()), 0.004);
        var three = Left(values, BitPlanes.Of(values, layout, 0, 3, true, 2).Decode());
        Assert.IsLessThan(0.065, three);
        Assert.IsLessThan(three, Left(values, BitPlanes.Of(values, layout, 0, 4, true, 2).Decode()));
    }

    [TestMethod]
    public void A_plane_has_the_signs_and_the_mean_magnitude_of_what_is_left()
    {
        float[] values = [3, -1, 2, -2];
        var planes = BitPlanes.Of(values, new(1, 4, 4, 1), 0, 2, true, 1);
        // 3 −1 2 −2 = 2·(+ − + −) + (1 1 0 0); what is left has a mean magnitude of 0.5.
        CollectionAssert.AreEqual(new[] { 2, 0.5f }, planes.Scales);
        CollectionAssert.AreEqual(new byte[] { 3, 2, 3, 2 }, planes.Codes);
        CollectionAssert.AreEqual(new[] { 2.5f, -1.5f, 2.5f, -1.5f }, planes.Decode());
    }

    [TestMethod]
    public void Nearest_with_a_scale_search_never_loses_to_the_scale_of_the_whole_range() =>
        Gen.Select(Gen.Int[1, 5], Gen.Int[0, 100000], Gen.Bool, Gen.Int[1, 70]).Sample((bits, seed, symmetric, columns) =>
        {
            if (bits == 1)
                bits = 8;
            var layout = new RowLayout(3, columns, columns, 1);
            var values = Gaussian(seed, 3 * columns);
            var grid = BitGrid.Of(bits, symmetric);
            var found = RoundToNearest.Quantize(values, layout, grid, 32, [], false, 1);
            var start = RoundToNearest.Each(values, layout, grid, 32, false, 1, (tile, into, _, _) =>
            {
                var (scale, zero) = RoundToNearest.Range(tile, grid);
                scale.CopyTo(into);
                zero.CopyTo(into[16..]);
            });
            Assert.IsLessThanOrEqualTo(Left(values, start.Decode()) * (1 + 1e-4) + 1e-12, Left(values, found.Decode()));
            Assert.IsTrue(found.Codes.All(c => c <= grid.Top));
        }, iter: 300);

    [TestMethod]
    public void Threads_do_not_change_a_bit()
    {
        var values = Gaussian(3, 100 * 77);
        foreach (var layout in new[] { new RowLayout(100, 77, 77, 1), new RowLayout(100, 77, 1, 100) })
        {
            var (one, four) = (Find(1), Find(4));
            CollectionAssert.AreEqual(one.Codes, four.Codes);
            CollectionAssert.AreEqual(one.Scales, four.Scales);
            BitWeight Find(int threads)
            {
                var start = RoundToNearest.Quantize(values, layout, BitGrid.Of(3, false), 16, [], true, threads);
                var form = new QuadraticForm(Moments(77, 5), 77, RowRounding.Damping, GridRounding.Shrinkage);
                return GridRounding.Round(values, start, _ => form, true, threads);
            }
        }
    }

    [TestMethod]
    public void Half_quadratic_keeps_the_scale_of_the_range_and_without_a_zero_point_is_to_nearest()
    {
        var values = Gaussian(7, 64 * 256);
        var layout = new RowLayout(64, 256, 256, 1);
        var plain = RoundToNearest.Each(values, layout, BitGrid.Of(3, false), 64, false, 1, (tile, into, _, _) =>
        {
            var (scale, zero) = RoundToNearest.Range(tile, BitGrid.Of(3, false));
            scale.CopyTo(into);
            zero.CopyTo(into[16..]);
        });
        var half = HalfQuadratic.Quantize(values, layout, BitGrid.Of(3, false), 64, false, 1);
        CollectionAssert.AreEqual(plain.Scales, half.Scales);
        Assert.IsLessThan(1.02 * Norm(values, plain.Decode(), 0.7), Norm(values, half.Decode(), 0.7));
        var symmetric = BitGrid.Of(3, true);
        CollectionAssert.AreEqual(
            RoundToNearest.Quantize(values, layout, symmetric, 64, [], false, 1).Codes, HalfQuadratic.Quantize(values, layout, symmetric, 64, false, 1).Codes);
    }

    [TestMethod]
    public void Nearest_plane_is_gptq_column_by_column() => Gen.Int[0, 5000].Sample(seed =>
    {
        const int Size = 12;
        var form = new QuadraticForm(Moments(Size, seed), Size, 0.01);
        var weight = Gaussian(seed + 1, Size).Select(w => 3.0 * w).ToArray();
        var error = new double[Size];
        form.NearestPlane(weight, 7, error);
        var expected = Gptq(form.H, weight, 7);
        for (var c = 0; c < Size; c++)
            Assert.AreEqual(expected[c], weight[c] + error[c], 1e-6);
    }, iter: 100);

    [TestMethod]
    public void Rounding_on_a_gram_matrix_is_never_worse_than_gptq_at_the_same_scales() => Gen.Select(Gen.Int[0, 5000], Gen.Int[2, 4]).Sample((seed, bits) =>
    {
        const int Size = 40;
        var form = new QuadraticForm(Moments(Size, seed), Size, RowRounding.Damping, GridRounding.Shrinkage);
        var values = Gaussian(seed, Size);
        var start = RoundToNearest.Quantize(values, new(1, Size, Size, 1), BitGrid.Of(bits, false), 0, [], false, 1);
        var found = GridRounding.Round(values, start, _ => form, false, 1);
        var (scale, zero) = ((double)start.Scales[0], (double)start.Zeros[0]);
        // GPTQ on codes: limits are not symmetric around the zero.
        var gptq = Gptq(form.H, [.. values.Select(v => v / scale)], -zero, start.Grid.Top - zero);
        var ours = form.Value([.. found.Decode().Zip(values, (d, v) => (double)d - v)]);
        Assert.IsLessThanOrEqualTo(form.Value([.. gptq.Zip(values, (q, v) => q * scale - v)]) * (1 + 1e-5), ours);
        Assert.IsLessThanOrEqualTo(form.Value([.. start.Decode().Zip(values, (d, v) => (double)d - v)]) * (1 + 1e-5), ours);
    }, iter: 100);

    [TestMethod]
    public void A_refit_scale_is_the_least_squares_fit_of_its_codes()
    {
        const int Size = 24;
        var form = new QuadraticForm(Moments(Size, 4), Size, RowRounding.Damping);
        var values = Gaussian(9, Size);
        var start = RoundToNearest.Quantize(values, new(1, Size, Size, 1), BitGrid.Of(2, true), 0, [], false, 1);
        var found = GridRounding.Round(values, start, _ => form, false, 1);
        Assert.AreNotEqual(start.Scales[0], found.Scales[0]);
        // s = cᵀHw / cᵀHc, where codes no longer change.
        double[] codes = [.. found.Codes.Select(c => (double)(c - found.Grid.Zero))];
        double[] wanted = [.. values.Select(v => (double)v)];
        var cross = (form.Value([.. codes.Zip(wanted, (c, w) => c + w)]) - form.Value(codes) - form.Value(wanted)) / 2;
        Assert.AreEqual(cross / form.Value(codes), found.Scales[0], 0.02 * found.Scales[0]);
    }

    [TestMethod]
    public void Codes_of_any_palette_are_never_worse_for_the_outputs_than_the_nearest() => Gen.Select(Gen.Int[0, 5000], Gen.Int[2, 17]).Sample((seed, count) =>
    {
        const int Size = 30;
        var form = new QuadraticForm(Moments(Size, seed), Size, RowRounding.Damping);
        double[] wanted = [.. Gaussian(seed + 7, Size).Select(v => (double)v)];
        float[] palette = [.. Gaussian(seed + 3, count).Distinct().Order()];
        var codes = PaletteRounding.Codes(wanted, palette, form);
        double[] nearest = [.. wanted.Select(w => palette.MinBy(p => Math.Abs(p - w)) - w)];
        Assert.IsLessThanOrEqualTo(form.Value(nearest) * (1 + 1e-9), form.Value([.. codes.Select((c, i) => palette[c] - wanted[i])]));
    }, iter: 100);

    [TestMethod]
    public void The_power_of_the_shrinkage_threshold_is_within_one_percent() => Gen.Float[1e-20f, 1e6f].Array[16].Sample(values =>
    {
        var powers = HalfQuadratic.Power(System.Runtime.Intrinsics.Vector512.Create(values), -0.3f);
        for (var i = 0; i < 16; i++)
            Assert.AreEqual(1, powers[i] / MathF.Pow(values[i], -0.3f), 0.01, $"{values[i]:R}");
    });

    [TestMethod]
    public void Channels_are_scaled_by_a_power_of_their_activations()
    {
        // √m over the geometric mean: 4 and 1 become 2/√2 and 1/√2.
        CollectionAssert.AreEqual(new[] { 1.414, 0.707 }, ActivationScaling.Scales([4, 1], 0.5).Select(s => Math.Round(s, 3)).ToArray());
        CollectionAssert.AreEqual(new[] { 1.0, 1 }, ActivationScaling.Scales([4, 1], 0));
        Assert.IsTrue(ActivationScaling.Scales([4, 0, 1e-9], 0.9).All(double.IsFinite));
    }

    /// <summary>GPTQ as published: round a column, spread its error over the rest by the inverse Hessian, take the column out of it; largest diagonal first.</summary>
    private static double[] Gptq(double[] h, double[] weight, double limit) => Gptq(h, weight, -limit, limit);

    private static double[] Gptq(double[] h, double[] weight, double low, double high)
    {
        var size = weight.Length;
        var left = Enumerable.Range(0, size).OrderBy(i => h[i * size + i]).Reverse().ToList();
        var (rest, codes) = ((double[])weight.Clone(), new double[size]);
        while (left.Count > 0)
        {
            var inverse = Inverse(h, size, left);
            var column = left[0];
            codes[column] = Math.Clamp(Math.Round(rest[column]), low, high);
            var error = (rest[column] - codes[column]) / inverse[0, 0];
            for (var i = 0; i < left.Count; i++)
                rest[left[i]] -= error * inverse[0, i];
            left.RemoveAt(0);
        }

        return codes;
    }

    private static double[,] Inverse(double[] h, int size, List<int> indices)
    {
        var n = indices.Count;
        var a = new double[n, 2 * n];
        for (var i = 0; i < n; i++)
        {
            a[i, n + i] = 1;
            for (var j = 0; j < n; j++)
                a[i, j] = h[indices[i] * size + indices[j]];
        }

        for (var k = 0; k < n; k++)
        {
            var pivot = a[k, k];
            for (var j = 0; j < 2 * n; j++)
                a[k, j] /= pivot;
            for (var i = 0; i < n; i++)
            {
                var factor = i == k ? 0 : a[i, k];
                for (var j = 0; j < 2 * n && factor != 0; j++)
                    a[i, j] -= factor * a[k, j];
            }
        }

        var inverse = new double[n, n];
        for (var i = 0; i < n; i++)
        {
            for (var j = 0; j < n; j++)
                inverse[i, j] = a[i, n + j];
        }

        return inverse;
    }

    private static double[] Moments(int size, int seed)
    {
        // Correlated inputs: mixtures of a few sources with some noise.
        var random = new Random(seed);
        var mix = Enumerable.Range(0, size * 4).Select(_ => random.NextDouble() * 2 - 1).ToArray();
        var moments = new double[size * size];
        for (var sample = 0; sample < 6 * size; sample++)
        {
            var sources = Enumerable.Range(0, 4).Select(_ => random.NextDouble() * 2 - 1).ToArray();
            var x = Enumerable.Range(0, size).Select(i => Enumerable.Range(0, 4).Sum(s => mix[i * 4 + s] * sources[s]) + 0.5 * (random.NextDouble() - 0.5)).ToArray();
            for (var i = 0; i < size; i++)
            {
                for (var j = 0; j < size; j++)
                    moments[i * size + j] += x[i] * x[j];
            }
        }

        return moments;
    }

    private static float[] Gaussian(int seed, int count)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => (float)(Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble())))];
    }

    private static double Left(float[] values, float[] decoded) => Norm(values, decoded, 2) / values.Sum(v => (double)v * v);

    private static double Norm(float[] values, float[] decoded, double p) => values.Zip(decoded, (v, d) => Math.Pow(Math.Abs((double)v - d), p)).Sum();
}
