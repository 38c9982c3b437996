using System.Numerics.Tensors;

namespace ModelBuildTasks.Engine.Passes.Quantization.Rounding;

/// <summary>
/// eᵀHe, the squared error of an output for the error e of a row of weights, and the searches for the row of codes where it is least.
/// Errors are in units of the row's scale: e = q − w/scale.
/// </summary>
internal sealed class QuadraticForm
{
    private readonly int[] _order;
    private readonly double[] _lower;

    /// <summary>Prepares the searches.</summary>
    /// <param name="moments">[n, n], symmetric and positive semidefinite up to rounding.</param>
    /// <param name="size">n.</param>
    /// <param name="damping">Added to the diagonal, as a share of its mean: columns that were hardly seen are then rounded to nearest.</param>
    /// <param name="shrinkage">
    /// Share of the off-diagonal moments not to be believed, 0 to 1: the estimator (1 − s)·H + s·diag(H) of Schäfer and Strimmer (2005). At 1 nearest is best.
    /// </param>
    public QuadraticForm(double[] moments, int size, double damping, double shrinkage = 0)
    {
        Size = size;
        H = moments;
        if (shrinkage > 0)
        {
            for (var i = 0; i < H.Length; i++)
                H[i] *= i % (size + 1) == 0 ? 1 : 1 - shrinkage;
        }

        var mean = Enumerable.Range(0, size).Sum(i => H[i * size + i]) / size;
        mean = mean > 0 ? mean : 1;
        for (var i = 0; i < size; i++)
            H[i * size + i] += damping * mean;
        // The codes of large moments are chosen first: the last of the order.
        _order = [.. Enumerable.Range(0, size).OrderBy(i => H[i * size + i])];
        // A failure of the decomposition means that rounding made H indefinite: more damping.
        for (var extra = 0.01 * mean; (_lower = Cholesky.Factor(H, size, _order)).Length == 0; extra *= 10)
        {
            for (var i = 0; i < size; i++)
                H[i * size + i] += extra;
        }
    }

    /// <summary>n.</summary>
    public int Size { get; }

    /// <summary>The damped matrix, [n, n].</summary>
    public double[] H { get; }

    /// <summary>For each column what an error of its last unit makes that no column chosen behind it can make up for: the diagonal of the Cholesky factor.</summary>
    public double[] Remainders()
    {
        var result = new double[Size];
        for (var k = 0; k < Size; k++)
            result[_order[k]] = _lower[k * Size + k];
        return result;
    }

    /// <summary>eᵀHe.</summary>
    public double Value(ReadOnlySpan<double> error)
    {
        double sum = 0;
        for (var i = 0; i < Size; i++)
        {
            if (error[i] != 0)
                sum += error[i] * TensorPrimitives.Dot(H.AsSpan(i * Size, Size), error);
        }

        return sum;
    }

    /// <summary>
    /// Codes one after the other, each rounded where the errors of those before it are made up for best: GPTQ (Frantar et al. 2022),
    /// which is Babai's nearest plane (1986) on the Cholesky factor H = LLᵀ, largest moments first.
    /// </summary>
    /// <param name="weight">w/scale.</param>
    /// <param name="limit">Largest code.</param>
    /// <param name="error">Gets q − w/scale.</param>
    /// <returns>eᵀHe.</returns>
    public double NearestPlane(ReadOnlySpan<double> weight, int limit, Span<double> error) => NearestPlane(weight, new Integers(limit), error);

    /// <summary>The same for values of any grid.</summary>
    /// <param name="weight">w.</param>
    /// <param name="grid">The values that a column may have.</param>
    /// <param name="error">Gets ŵ − w.</param>
    /// <returns>eᵀHe.</returns>
    public double NearestPlane<TGrid>(ReadOnlySpan<double> weight, TGrid grid, Span<double> error) where TGrid : IColumnGrid
    {
        Span<double> sums = new double[Size];
        double value = 0;
        for (var k = Size - 1; k >= 0; k--)
        {
            var row = _lower.AsSpan(k * Size, k + 1);
            var column = _order[k];
            var w = weight[column];
            var e = grid.Nearest(column, w - sums[k] / row[k]) - w;
            error[column] = e;
            // The columns of Lᵀe come out one by one.
            var rest = row[k] * e + sums[k];
            value += rest * rest;
            TensorPrimitives.MultiplyAdd(row[..k], e, sums[..k], sums[..k]);
        }

        return value;
    }

    /// <summary>
    /// Sets one code after the other to the integer where eᵀHe is least with all others fixed, until none changes. Never worse than the start.
    /// </summary>
    /// <param name="weight">w/scale.</param>
    /// <param name="limit">Largest code.</param>
    /// <param name="error">q − w/scale, changed in place.</param>
    /// <returns>eᵀHe at the end.</returns>
    public double CoordinateDescent(ReadOnlySpan<double> weight, int limit, Span<double> error) => CoordinateDescent(weight, new Integers(limit), error);

    /// <summary>The same for values of any grid.</summary>
    /// <param name="weight">w.</param>
    /// <param name="grid">The values that a column may have.</param>
    /// <param name="error">ŵ − w, changed in place.</param>
    /// <returns>eᵀHe at the end.</returns>
    public double CoordinateDescent<TGrid>(ReadOnlySpan<double> weight, TGrid grid, Span<double> error) where TGrid : IColumnGrid
    {
        const int Passes = 30;
        Span<double> gradient = new double[Size];
        for (var i = 0; i < Size; i++)
            gradient[i] = TensorPrimitives.Dot(H.AsSpan(i * Size, Size), error);
        var changed = true;
        for (var pass = 0; changed && pass < Passes; pass++)
        {
            changed = false;
            for (var i = 0; i < Size; i++)
            {
                var curvature = H[i * Size + i];
                var ideal = -gradient[i] / curvature;
                // A tie is no gain, and would never end.
                if (Math.Abs(ideal) < (0.5 + 1e-9) * grid.Distance(i))
                    continue;
                var now = weight[i] + error[i];
                var step = grid.Nearest(i, now + ideal) - now;
                // What a step gains; one between codes that rounding of doubles makes is none.
                if (!(Math.Abs(step) > 0.5 * grid.Distance(i)))
                    continue;
                error[i] += step;
                TensorPrimitives.MultiplyAdd(H.AsSpan(i * Size, Size), step, gradient, gradient);
                changed = true;
            }
        }

        return TensorPrimitives.Dot(gradient, error);
    }

    /// <summary>Codes of so many units to both sides of zero.</summary>
    public readonly struct Integers(int limit) : IColumnGrid
    {
        /// <inheritdoc/>
        public double Nearest(int column, double value) => Math.Clamp(Math.Round(value), -limit, limit);

        /// <inheritdoc/>
        public double Distance(int column) => 1;
    }
}

/// <summary>The values that the weights of a row may have, column by column.</summary>
internal interface IColumnGrid
{
    /// <summary>The value nearest to one wished for.</summary>
    double Nearest(int column, double value);

    /// <summary>What is between neighbouring values.</summary>
    double Distance(int column);
}
