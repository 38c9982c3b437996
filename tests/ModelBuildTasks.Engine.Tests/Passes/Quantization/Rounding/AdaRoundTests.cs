using ModelBuildTasks.Engine.Passes.Quantization.Rounding;

namespace ModelBuildTasks.Engine.Tests.Passes.Quantization.Rounding;

[TestClass]
public sealed class AdaRoundTests
{
    [TestMethod]
    public void The_rectified_sigmoid_is_the_papers()
    {
        Assert.AreEqual(0.5, AdaRound.Rectified(0), 1e-15);
        Assert.AreEqual(1.2 / (1 + Math.Exp(-1)) - 0.1, AdaRound.Rectified(1), 1e-12);
        Assert.AreEqual(1, AdaRound.Rectified(5));
        Assert.AreEqual(0, AdaRound.Rectified(-5));
    }

    [TestMethod]
    public void Beta_falls_from_20_to_2_after_the_warm_up()
    {
        Assert.AreEqual(0, AdaRound.Beta(0.1));
        Assert.AreEqual(20, AdaRound.Beta(0.2), 1e-12);
        Assert.AreEqual(11, AdaRound.Beta(0.6), 1e-12);
        Assert.AreEqual(2, AdaRound.Beta(1), 1e-12);
    }

    [TestMethod]
    [DataRow(0.0)]
    [DataRow(2.0)]
    [DataRow(11.5)]
    public void The_gradient_is_the_slope_of_the_loss(double beta)
    {
        var (form, weight) = QuadraticFormTests.Random(7, 4);
        // Not where the sigmoid is cut off.
        double[] v = [-2.1, -1.3, -0.4, 0.2, 0.9, 1.6, 2.2], gradient = new double[7];
        AdaRound.Gradient(form, weight, v, beta, 1.7, new double[7], gradient);
        for (var i = 0; i < v.Length; i++)
        {
            double[] up = [.. v], down = [.. v];
            up[i] += 1e-5;
            down[i] -= 1e-5;
            var slope = (AdaRound.Loss(form, weight, up, beta, 1.7) - AdaRound.Loss(form, weight, down, beta, 1.7)) / 2e-5;
            Assert.AreEqual(slope, gradient[i], 1e-6);
        }
    }

    [TestMethod]
    public void Codes_are_neighbours_of_the_weight_and_better_than_the_nearest_on_average()
    {
        double nearest = 0, learned = 0;
        for (var seed = 0; seed < 20; seed++)
        {
            var (form, weight) = QuadraticFormTests.Random(9, seed);
            var error = new double[9];
            AdaRound.Round(form, weight, 127, 300, error);
            Assert.IsTrue(Array.TrueForAll(error, e => Math.Abs(e) < 1));
            nearest += form.Value([.. weight.Select(w => Math.Round(w) - w)]);
            learned += form.Value(error);
        }

        Assert.IsLessThan(0.8 * nearest, learned);
    }
}
