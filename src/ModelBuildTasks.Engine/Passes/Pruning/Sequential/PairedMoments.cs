using System.Numerics.Tensors;
using ModelBuildTasks.Engine.Passes.Quantization.Rounding;
using ModelBuildTasks.Engine.Statistics;

namespace ModelBuildTasks.Engine.Passes.Pruning.Sequential;

/// <summary>What a weight reads in the model that is pruned in front of it, x̂, and how it goes together with what it read before, x.</summary>
internal sealed class PairedMoments
{
    private readonly double[] _cross;

    /// <param name="matrix">Of x and x̂ side by side.</param>
    /// <param name="columns">Columns of a row of the weight.</param>
    /// <param name="centered">Whether a bias takes back mean errors.</param>
    public PairedMoments(GramMatrix matrix, int columns, bool centered)
    {
        var both = matrix.Moments(0, centered);
        Now = new double[columns * columns];
        _cross = new double[columns * columns];
        for (var i = 0; i < columns; i++)
        {
            both.AsSpan((i * 2 + 0) * columns + columns, columns).CopyTo(_cross.AsSpan(i * columns, columns));
            both.AsSpan((columns + i) * 2 * columns + columns, columns).CopyTo(Now.AsSpan(i * columns, columns));
        }

        var means = matrix.Means(0);
        (MeansBefore, MeansNow) = (means[..columns], means[columns..]);
        Squares = [.. Enumerable.Range(0, columns).Select(c => Now[c * columns + c] + (centered ? MeansNow[c] * MeansNow[c] : 0))];
    }

    /// <summary>E[x̂x̂ᵀ], or the covariance.</summary>
    public double[] Now { get; }

    /// <summary>E[x̂²].</summary>
    public double[] Squares { get; }

    /// <summary>E[x].</summary>
    public double[] MeansBefore { get; }

    /// <summary>E[x̂].</summary>
    public double[] MeansNow { get; }

    /// <summary>
    /// The weight that on x̂ comes nearest to what the weight made of x: the rows w* = w + w·(E[xx̂ᵀ] − E[x̂x̂ᵀ])·H⁻¹. Pruned for the least (ŵ − w*)·H·(ŵ − w*)ᵀ it makes up for
    /// what was pruned in front of it, too.
    /// </summary>
    /// <param name="values">The weight in the order of its tensor.</param>
    /// <param name="rows">Its rows.</param>
    /// <param name="threads">Threads to use.</param>
    public float[] Wanted(float[] values, WeightRows rows, int threads)
    {
        var n = rows.Columns;
        var form = new QuadraticForm((double[])Now.Clone(), n, SparseLayer.Damping, SparseLayer.Shrinkage);
        int[] order = [.. Enumerable.Range(0, n)];
        var lower = Cholesky.Factor(form.H, n, order);
        var result = (float[])values.Clone();
        Parallel.For(0, rows.Count, new ParallelOptions { MaxDegreeOfParallelism = Math.Max(1, threads) }, row =>
        {
            var shift = new double[n];
            for (var i = 0; i < n; i++)
            {
                var w = (double)values[rows.Index(row, i)];
                if (w == 0)
                    continue;
                TensorPrimitives.MultiplyAdd(_cross.AsSpan(i * n, n), w, shift, shift);
                TensorPrimitives.MultiplyAdd(Now.AsSpan(i * n, n), -w, shift, shift);
            }

            Cholesky.Solve(lower, shift);
            for (var i = 0; i < n; i++)
            {
                var at = rows.Index(row, i);
                // What was zero stays zero.
                if (values[at] != 0)
                    result[at] = (float)(values[at] + shift[i]);
            }
        });
        return result;
    }
}
