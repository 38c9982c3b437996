namespace ModelBuildTasks.Benchmarks.Costs;

/// <summary>min Σ w·(A·x − 1)² over x ≥ 0, by coordinate descent on the Gram matrix.</summary>
internal static class NonNegativeLeastSquares
{
    private const int Sweeps = 20_000;

    /// <param name="rows">Rows of A, each divided by what it should give: the error is relative.</param>
    /// <param name="weights">Their weights w.</param>
    public static double[] Solve(IReadOnlyList<double[]> rows, double[] weights)
    {
        var n = rows[0].Length;
        var scale = new double[n];
        for (var i = 0; i < n; i++)
            scale[i] = Math.Sqrt(rows.Sum(r => r[i] * r[i])) is var norm and > 0 ? 1 / norm : 0;
        var gram = new double[n, n];
        var right = new double[n];
        foreach (var (row, weight) in rows.Zip(weights))
        {
            for (var i = 0; i < n; i++)
            {
                right[i] += weight * row[i] * scale[i];
                for (var j = 0; j < n; j++)
                    gram[i, j] += weight * row[i] * scale[i] * row[j] * scale[j];
            }
        }

        var x = new double[n];
        for (var sweep = 0; sweep < Sweeps; sweep++)
        {
            double change = 0;
            for (var i = 0; i < n; i++)
            {
                if (gram[i, i] <= 0)
                    continue;
                var gradient = right[i];
                for (var j = 0; j < n; j++)
                    gradient -= gram[i, j] * x[j];
                var next = Math.Max(0, x[i] + gradient / gram[i, i]);
                change = Math.Max(change, Math.Abs(next - x[i]));
                x[i] = next;
            }

            if (change < 1e-10)
                break;
        }

        return [.. x.Zip(scale, (a, b) => a * b)];
    }
}
