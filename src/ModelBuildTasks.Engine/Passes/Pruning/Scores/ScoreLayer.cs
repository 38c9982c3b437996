using ModelBuildTasks.Engine.Passes.Quantization.Rounding;
using ModelBuildTasks.Engine.Statistics;

namespace ModelBuildTasks.Engine.Passes.Pruning.Scores;

/// <summary>A weight whose products are scores, by what its errors do to the answer.</summary>
internal static class ScoreLayer
{
    /// <summary>The weight and its inputs.</summary>
    /// <param name="values">The weight in the order of its tensor.</param>
    /// <param name="rows">Its rows.</param>
    /// <param name="shape">Which weights belong together: those of one row.</param>
    /// <param name="moments">What it reads now, and what it made before.</param>
    /// <param name="centered">Whether the bias takes back mean errors.</param>
    /// <param name="changed">Whether it reads other inputs than it did: it is to make of them what it made before.</param>
    /// <param name="threads">Threads to use; no result depends on it.</param>
    public static SparseLayer Of(float[] values, WeightRows rows, MaskShape shape, ScoreMoments moments, bool centered, bool changed, int threads)
    {
        var (forms, wanted) = (new double[rows.Count][], (float[])values.Clone());
        Parallel.For(0, rows.Count, new ParallelOptions { MaxDegreeOfParallelism = Math.Max(1, threads) }, row =>
        {
            var of = moments.Of(row, centered);
            forms[row] = of.Moments;
            if (changed)
                Want(values, rows, row, of, wanted);
        });
        return new(wanted, rows, shape, forms, [moments.Squares], threads);
    }

    /// <summary>How the bias has to change for a row's mean output to be what it was.</summary>
    /// <param name="row">The row.</param>
    /// <param name="rows">The rows.</param>
    /// <param name="after">The pruned weight.</param>
    /// <param name="moments">What it reads now, and what it made before.</param>
    public static double Shift(int row, WeightRows rows, float[] after, ScoreMoments moments)
    {
        var of = moments.Of(row, centered: true);
        var shift = of.Mean;
        for (var c = 0; c < rows.Columns; c++)
            shift -= (double)after[rows.Index(row, c)] * of.Means[c];
        return shift;
    }

    /// <summary>w* = w + (E[y·x̂ᵀ] − w·E[x̂x̂ᵀ])·H⁻¹, as <see cref="Sequential.PairedMoments.Wanted"/> with the weights of the row's class.</summary>
    private static void Want(float[] values, WeightRows rows, int row, ClassMoments of, float[] wanted)
    {
        var n = rows.Columns;
        var shift = (double[])of.Cross.Clone();
        for (var i = 0; i < n; i++)
        {
            var w = (double)values[rows.Index(row, i)];
            if (w != 0)
                System.Numerics.Tensors.TensorPrimitives.MultiplyAdd(of.Moments.AsSpan(i * n, n), -w, shift, shift);
        }

        var form = new QuadraticForm((double[])of.Moments.Clone(), n, SparseLayer.Damping, SparseLayer.Shrinkage);
        Cholesky.Solve(Cholesky.Factor(form.H, n, [.. Enumerable.Range(0, n)]), shift);
        for (var i = 0; i < n; i++)
        {
            var at = rows.Index(row, i);
            // What was zero stays zero.
            if (values[at] != 0)
                wanted[at] = (float)(values[at] + shift[i]);
        }
    }
}
