using System.Numerics.Tensors;
using ModelBuildTasks.Engine.Passes.Quantization.Rounding;

namespace ModelBuildTasks.Engine.Passes.Pruning.Methods;

/// <summary>
/// The weights that are left after a mask, fitted again so that the outputs change least: row by row H[S,S]·ŵ = H[S,:]·w for the columns S that are left.
/// </summary>
internal static class MaskedRefit
{
    // Beyond so many columns a row is not decomposed but descended on: half of a weight's weights meet again in each row.
    private const int MostColumns = 640;
    private const int Steps = 24;

    /// <summary>The weight with its zeros where the mask says and the rest for the least <see cref="SparseLayer.Loss"/>.</summary>
    /// <param name="layer">The weight and its inputs.</param>
    /// <param name="start">A weight with these zeros, from which to go on.</param>
    /// <param name="mostColumns">Columns that may be left of a row that is decomposed.</param>
    public static float[] Run(SparseLayer layer, float[] start, int mostColumns = MostColumns)
    {
        var result = (float[])start.Clone();
        layer.Each(layer.Rows.Count, row =>
        {
            var kept = Enumerable.Range(0, layer.Rows.Columns).Where(c => start[layer.Rows.Index(row, c)] != 0).ToArray();
            if (kept.Length == layer.Rows.Columns || kept.Length == 0)
                return;
            var wanted = layer.Row(layer.Values, row);
            var form = layer.Form(row);
            var found = kept.Length <= mostColumns ? Solve(form, wanted, kept) : Descend(form, wanted, kept, layer.Row(start, row));
            for (var i = 0; i < kept.Length; i++)
                result[layer.Rows.Index(row, kept[i])] = (float)found[i];
        });
        return result;
    }

    /// <summary>Exactly, by decomposition.</summary>
    private static double[] Solve(QuadraticForm form, double[] wanted, int[] kept)
    {
        var right = new double[kept.Length];
        for (var i = 0; i < kept.Length; i++)
            right[i] = TensorPrimitives.Dot<double>(form.H.AsSpan(kept[i] * form.Size, form.Size), wanted);
        // A principal part of a positive definite matrix is positive definite.
        Cholesky.Solve(Cholesky.Factor(form.H, form.Size, kept), right);
        return right;
    }

    /// <summary>By conjugate gradients with the diagonal in front, a fixed number of steps.</summary>
    private static double[] Descend(QuadraticForm form, double[] wanted, int[] kept, double[] start)
    {
        var n = form.Size;
        var value = (double[])start.Clone();
        var product = new double[n];
        var error = new double[n];
        for (var c = 0; c < n; c++)
            error[c] = wanted[c] - value[c];
        var residual = new double[kept.Length];
        for (var i = 0; i < kept.Length; i++)
            residual[i] = TensorPrimitives.Dot<double>(form.H.AsSpan(kept[i] * n, n), error);
        var direction = new double[n];
        var last = 0.0;
        for (var step = 0; step < Steps; step++)
        {
            var now = 0.0;
            for (var i = 0; i < kept.Length; i++)
                now += residual[i] * residual[i] / form.H[kept[i] * n + kept[i]];
            if (!(now > 0))
                break;
            for (var i = 0; i < kept.Length; i++)
                direction[kept[i]] = residual[i] / form.H[kept[i] * n + kept[i]] + (last > 0 ? now / last * direction[kept[i]] : 0);
            double curvature = 0;
            for (var i = 0; i < kept.Length; i++)
            {
                product[i] = TensorPrimitives.Dot<double>(form.H.AsSpan(kept[i] * n, n), direction);
                curvature += product[i] * direction[kept[i]];
            }

            if (!(curvature > 0))
                break;
            var length = now / curvature;
            for (var i = 0; i < kept.Length; i++)
            {
                value[kept[i]] += length * direction[kept[i]];
                residual[i] -= length * product[i];
            }

            last = now;
        }

        return [.. kept.Select(c => value[c])];
    }
}
