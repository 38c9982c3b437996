using System.Numerics.Tensors;

namespace ModelBuildTasks.Engine.Passes.Pruning;

/// <summary>Symmetric positive definite matrices in double precision, row-major: A = L·Lᵀ.</summary>
internal static class Cholesky
{
    /// <summary>L, [n, n] with zeros above the diagonal; null where the matrix is not positive definite.</summary>
    public static double[]? Factor(ReadOnlySpan<double> matrix, int n)
    {
        var lower = new double[n * n];
        for (var i = 0; i < n; i++)
        {
            var row = lower.AsSpan(i * n, i + 1);
            for (var j = 0; j <= i; j++)
            {
                var rest = matrix[i * n + j] - TensorPrimitives.Dot<double>(row[..j], lower.AsSpan(j * n, j));
                if (j < i)
                    row[j] = rest / lower[j * n + j];
                else if (!(rest > 0))
                    return null;
                else
                    row[j] = Math.Sqrt(rest);
            }
        }

        return lower;
    }

    /// <summary>L of a matrix that is positive semidefinite up to rounding: the diagonal is raised, tenfold each time, until it has one.</summary>
    /// <param name="matrix">The matrix; its diagonal is raised in place.</param>
    /// <param name="n">Rows.</param>
    public static double[] FactorDamped(Span<double> matrix, int n)
    {
        double mean = 0;
        for (var i = 0; i < n; i++)
            mean += matrix[i * n + i] / n;
        if (!(mean > 0))
            mean = 1;
        for (var extra = 1e-8 * mean; ; extra *= 10)
        {
            if (Factor(matrix, n) is { } lower)
                return lower;
            for (var i = 0; i < n; i++)
                matrix[i * n + i] += extra;
        }
    }

    /// <summary>Solves A·x = b in place.</summary>
    public static void Solve(ReadOnlySpan<double> lower, int n, Span<double> b)
    {
        for (var i = 0; i < n; i++)
            b[i] = (b[i] - TensorPrimitives.Dot(lower.Slice(i * n, i), b[..i])) / lower[i * n + i];
        for (var i = n - 1; i >= 0; i--)
        {
            b[i] /= lower[i * n + i];
            TensorPrimitives.MultiplyAdd(lower.Slice(i * n, i), -b[i], b[..i], b[..i]);
        }
    }

    /// <summary>A⁻¹, [n, n].</summary>
    public static double[] Inverse(double[] lower, int n)
    {
        var inverse = new double[n * n];
        // Each row is solved for by itself: the bits do not depend on threads.
        Parallel.For(0, n, i =>
        {
            var row = inverse.AsSpan(i * n, n);
            row[i] = 1;
            Solve(lower, n, row);
        });
        for (var i = 0; i < n; i++)
        {
            for (var j = 0; j < i; j++)
                inverse[i * n + j] = inverse[j * n + i] = (inverse[i * n + j] + inverse[j * n + i]) / 2;
        }

        return inverse;
    }
}
