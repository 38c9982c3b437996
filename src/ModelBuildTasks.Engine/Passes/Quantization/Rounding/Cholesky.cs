using System.Numerics.Tensors;

namespace ModelBuildTasks.Engine.Passes.Quantization.Rounding;

/// <summary>The decomposition H = LLᵀ of symmetric positive definite matrices, and what is solved with it. Matrices are [n, n], row-major.</summary>
internal static class Cholesky
{
    /// <summary>L of the matrix with its rows and columns in the given order, lower triangular; empty where it is not positive definite.</summary>
    public static double[] Factor(ReadOnlySpan<double> matrix, int size, ReadOnlySpan<int> order)
    {
        var n = order.Length;
        var lower = new double[n * n];
        for (var i = 0; i < n; i++)
        {
            var row = lower.AsSpan(i * n, i + 1);
            for (var j = 0; j <= i; j++)
            {
                var rest = matrix[order[i] * size + order[j]] - TensorPrimitives.Dot<double>(row[..j], lower.AsSpan(j * n, j));
                if (j < i)
                    row[j] = rest / lower[j * n + j];
                else if (!(rest > 0))
                    return [];
                else
                    row[j] = Math.Sqrt(rest);
            }
        }

        return lower;
    }

    /// <summary>L of a matrix that is positive semidefinite up to rounding: the diagonal is raised, tenfold each time, until it has one.</summary>
    /// <param name="matrix">[n, n]; its diagonal is raised in place.</param>
    /// <param name="n">Rows.</param>
    public static double[] FactorDamped(Span<double> matrix, int n)
    {
        int[] order = [.. Enumerable.Range(0, n)];
        double mean = 0;
        for (var i = 0; i < n; i++)
            mean += matrix[i * n + i] / n;
        if (!(mean > 0))
            mean = 1;
        for (var extra = 1e-8 * mean; ; extra *= 10)
        {
            if (Factor(matrix, n, order) is { Length: > 0 } lower)
                return lower;
            for (var i = 0; i < n; i++)
                matrix[i * n + i] += extra;
        }
    }

    /// <summary>Solves LLᵀx = b in place.</summary>
    public static void Solve(ReadOnlySpan<double> lower, Span<double> b)
    {
        var n = b.Length;
        for (var i = 0; i < n; i++)
            b[i] = (b[i] - TensorPrimitives.Dot(lower.Slice(i * n, i), b[..i])) / lower[i * n + i];
        for (var i = n - 1; i >= 0; i--)
        {
            b[i] /= lower[i * n + i];
            TensorPrimitives.MultiplyAdd(lower.Slice(i * n, i), -b[i], b[..i], b[..i]);
        }
    }

    /// <summary>(LLᵀ)⁻¹.</summary>
    public static double[] Inverse(ReadOnlySpan<double> lower, int n)
    {
        // L⁻¹ row by row, each a combination of those above it.
        var inner = new double[n * n];
        for (var i = 0; i < n; i++)
        {
            var row = inner.AsSpan(i * n, n);
            for (var k = 0; k < i; k++)
                TensorPrimitives.MultiplyAdd(inner.AsSpan(k * n, k + 1), -lower[i * n + k], row[..(k + 1)], row[..(k + 1)]);
            row[i] = 1;
            TensorPrimitives.Divide(row[..(i + 1)], lower[i * n + i], row[..(i + 1)]);
        }

        var inverse = new double[n * n];
        for (var k = 0; k < n; k++)
        {
            var row = inner.AsSpan(k * n, k + 1);
            for (var i = 0; i <= k; i++)
            {
                var into = inverse.AsSpan(i * n, i + 1);
                TensorPrimitives.MultiplyAdd(row[..(i + 1)], row[i], into, into);
            }
        }

        for (var i = 0; i < n; i++)
        {
            for (var j = 0; j < i; j++)
                inverse[j * n + i] = inverse[i * n + j];
        }

        return inverse;
    }
}
