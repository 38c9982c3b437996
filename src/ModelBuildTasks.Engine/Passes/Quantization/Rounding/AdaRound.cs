using System.Numerics.Tensors;

namespace ModelBuildTasks.Engine.Passes.Quantization.Rounding;

/// <summary>
/// AdaRound (Nagel et al. 2020, "Up or Down? Adaptive Rounding for Post-Training Quantization"): each code is ⌊w/s⌋ + h(V), and the
/// continuous V descends eᵀHe + λ·Σ(1 − |2h(V) − 1|^β), whose second term drives h to 0 or 1 as β falls from 20 to 2. On the Gram matrix
/// the gradient is closed: 2·He·h'(V) and that of the second term. What is exactly zero stays zero.
/// </summary>
internal static class AdaRound
{
    // The paper's: stretch of the sigmoid, weight of the regularizer, annealing of β after a warm-up of a fifth.
    private const double Zeta = 1.1;
    private const double Gamma = -0.1;
    private const double Lambda = 0.01;
    private const double WarmUp = 0.2;
    private const double LearningRate = 0.05;

    /// <summary>Codes of one row.</summary>
    /// <param name="form">eᵀHe; its mean diagonal is taken as the unit of the loss.</param>
    /// <param name="weight">w/scale.</param>
    /// <param name="limit">Largest code.</param>
    /// <param name="iterations">Steps of Adam.</param>
    /// <param name="error">Gets q − w/scale.</param>
    public static void Round(QuadraticForm form, ReadOnlySpan<double> weight, int limit, int iterations, Span<double> error)
    {
        var n = form.Size;
        double[] v = new double[n], gradient = new double[n], first = new double[n], second = new double[n];
        var unit = Enumerable.Range(0, n).Sum(i => form.H[i * n + i]) / n;
        for (var i = 0; i < n; i++)
            v[i] = Inverse(weight[i] - Math.Floor(weight[i]));
        for (var t = 1; t <= iterations; t++)
        {
            var beta = Beta((double)t / iterations);
            Gradient(form, weight, v, beta, unit, error, gradient);
            for (var i = 0; i < n; i++)
            {
                first[i] = 0.9 * first[i] + 0.1 * gradient[i];
                second[i] = 0.999 * second[i] + 0.001 * gradient[i] * gradient[i];
                v[i] -= LearningRate * (first[i] / (1 - Math.Pow(0.9, t))) / (Math.Sqrt(second[i] / (1 - Math.Pow(0.999, t))) + 1e-8);
            }
        }

        for (var i = 0; i < n; i++)
            error[i] = weight[i] == 0 ? 0 : Math.Clamp(Math.Floor(weight[i]) + (Rectified(v[i]) >= 0.5 ? 1 : 0), -limit, limit) - weight[i];
    }

    /// <summary>h(V) = clip(σ(V)·(ζ − γ) + γ, 0, 1), the rectified sigmoid.</summary>
    public static double Rectified(double v) => Math.Clamp(Sigmoid(v) * (Zeta - Gamma) + Gamma, 0, 1);

    /// <summary>β at a share of the iterations; 0 during the warm-up, where the regularizer is off.</summary>
    public static double Beta(double progress) =>
        progress < WarmUp ? 0 : 2 + 9 * (1 + Math.Cos(Math.PI * (progress - WarmUp) / (1 - WarmUp)));

    /// <summary>The loss at V, in the unit given.</summary>
    public static double Loss(QuadraticForm form, ReadOnlySpan<double> weight, ReadOnlySpan<double> v, double beta, double unit)
    {
        var error = new double[v.Length];
        double regularizer = 0;
        for (var i = 0; i < v.Length; i++)
        {
            var h = Rectified(v[i]);
            error[i] = Math.Floor(weight[i]) + h - weight[i];
            regularizer += beta > 0 ? 1 - Math.Pow(Math.Abs(2 * h - 1), beta) : 0;
        }

        return form.Value(error) / unit + Lambda * regularizer;
    }

    /// <summary>The gradient of <see cref="Loss"/>.</summary>
    public static void Gradient(
        QuadraticForm form, ReadOnlySpan<double> weight, ReadOnlySpan<double> v, double beta, double unit, Span<double> error, Span<double> gradient)
    {
        var n = form.Size;
        for (var i = 0; i < n; i++)
            error[i] = Math.Floor(weight[i]) + Rectified(v[i]) - weight[i];
        for (var i = 0; i < n; i++)
        {
            var sigmoid = Sigmoid(v[i]);
            var h = sigmoid * (Zeta - Gamma) + Gamma;
            if (h is <= 0 or >= 1)
            {
                gradient[i] = 0;
                continue;
            }

            var slope = (Zeta - Gamma) * sigmoid * (1 - sigmoid);
            var away = 2 * h - 1;
            var pull = beta > 0 ? -Lambda * 2 * beta * Math.Pow(Math.Abs(away), beta - 1) * Math.Sign(away) : 0;
            gradient[i] = (2 * TensorPrimitives.Dot(form.H.AsSpan(i * n, n), error) / unit + pull) * slope;
        }
    }

    private static double Sigmoid(double v) => 1 / (1 + Math.Exp(-v));

    private static double Inverse(double h) => -Math.Log((Zeta - Gamma) / (h - Gamma) - 1);
}
