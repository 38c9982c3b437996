using ModelBuildTasks.Engine.Passes.Quantization.Rounding;

namespace ModelBuildTasks.Engine.Passes.Quantization.Bits;

/// <summary>
/// Codes for the least output error at scales that are found before (GPTQ with static groups): the better of nearest and nearest plane,
/// each followed by coordinate descent; then scales that fit the codes best, and codes for those, as long as that helps.
/// </summary>
internal static class GridRounding
{
    /// <summary>
    /// Shrinkage of the Gram matrices: less than for 8 bits, since the errors of few bits are larger than what correlations are known wrong by.
    /// Calibrated on one half of a language model's calibration sequences and judged on the other, 0.1 has 0.1 dB more than 0.3 at 3 and 4 bits
    /// and 0.1 dB less at 2; 0.03 is no better.
    /// </summary>
    public const double Shrinkage = 0.1;

    private const int Refits = 3;

    /// <summary>A better weight for the outputs. Rows are independent: the result does not depend on threads.</summary>
    /// <param name="values">The weight in the order of its tensor.</param>
    /// <param name="start">Scales and zeros, see <see cref="RoundToNearest"/>.</param>
    /// <param name="form">The output error of a row.</param>
    /// <param name="halves">Whether scales are stored as float16.</param>
    /// <param name="threads">Threads to use.</param>
    public static BitWeight Round(float[] values, BitWeight start, Func<int, QuadraticForm> form, bool halves, int threads)
    {
        var result = start with { Codes = (byte[])start.Codes.Clone(), Scales = (float[])start.Scales.Clone() };
        Parallel.For(0, start.Layout.Rows, new ParallelOptions { MaxDegreeOfParallelism = Math.Max(1, threads) }, row => Row(values, result, row, form(row), halves));
        return result;
    }

    private static void Row(float[] values, BitWeight weight, int row, QuadraticForm form, bool halves)
    {
        var (layout, columns) = (weight.Layout, weight.Layout.Columns);
        var wanted = new double[columns];
        for (var c = 0; c < columns; c++)
            wanted[c] = values[layout.Index(row, c)];
        var scales = new double[weight.Groups];
        var zeros = new int[weight.Groups];
        for (var g = 0; g < scales.Length; g++)
            (scales[g], zeros[g]) = (weight.Scales[row * scales.Length + g], weight.Zero(row * scales.Length + g));
        // What is exactly zero stays zero, as with ZerosKept.
        var zerosKept = Array.ConvertAll(wanted, w => w == 0 ? 0 : double.NaN);
        var (error, grid) = Row(wanted, zerosKept, new Grid(scales, zeros, weight.Group, weight.Grid.Top), form, [], refits: true, halves);
        var best = Codes(grid, wanted, error);
        for (var c = 0; c < columns; c++)
            weight.Codes[layout.Index(row, c)] = (byte)best[c];
        for (var g = 0; g < scales.Length; g++)
            weight.Scales[row * scales.Length + g] = (float)grid.Scale(g);
    }

    /// <summary>The error ŵ − w of a row on a grid that eᵀHe is least for, as far as the searches find it, and the grid with its scales as they then are.</summary>
    /// <param name="wanted">w.</param>
    /// <param name="values">The value of each column that has one only, see <see cref="FixedColumns{TGrid}"/>.</param>
    /// <param name="grid">The values that the other columns may have.</param>
    /// <param name="form">The output error.</param>
    /// <param name="starts">Rows near which to search, beside the nearest to <paramref name="wanted"/> and the nearest plane.</param>
    /// <param name="refits">Whether scales may move.</param>
    /// <param name="halves">Whether scales are stored as float16.</param>
    public static (double[] Error, Grid Grid) Row(double[] wanted, double[] values, Grid grid, QuadraticForm form, ReadOnlySpan<double[]> starts, bool refits, bool halves)
    {
        var (error, least) = Least(wanted, new FixedColumns<Grid>(grid, values), form, starts);
        for (var refit = 0; refits && refit < Refits; refit++)
        {
            var codes = Codes(grid, wanted, error);
            if (Fit(form, wanted, codes, grid, halves) is not { } fitted)
                break;
            var trial = grid with { Scales = fitted };
            var rest = new double[wanted.Length];
            for (var c = 0; c < rest.Length; c++)
                rest[c] = trial.Value(c, codes[c]) - wanted[c];
            var found = form.CoordinateDescent(wanted, new FixedColumns<Grid>(trial, values), rest);
            if (!(found < least * (1 - 1e-6)))
                break;
            (least, error, grid) = (found, rest, trial);
        }

        return (error, grid);
    }

    /// <summary>The error ŵ − w of a row on any grid that eᵀHe is least for, as far as the searches find it, and eᵀHe. Never worse than nearest or GPTQ's.</summary>
    /// <param name="wanted">w.</param>
    /// <param name="grid">The values that a column may have.</param>
    /// <param name="form">The output error.</param>
    /// <param name="starts">Rows near which to search, too.</param>
    public static (double[] Error, double Value) Least<TGrid>(double[] wanted, TGrid grid, QuadraticForm form, ReadOnlySpan<double[]> starts = default) where TGrid : IColumnGrid
    {
        var error = Near(wanted);
        var least = form.CoordinateDescent(wanted, grid, error);
        var plane = new double[wanted.Length];
        form.NearestPlane(wanted, grid, plane);
        Try(plane);
        foreach (var start in starts)
            Try(Near(start));
        return (error, least);

        double[] Near(double[] start)
        {
            var result = new double[wanted.Length];
            for (var c = 0; c < result.Length; c++)
                result[c] = grid.Nearest(c, start[c]) - wanted[c];
            return result;
        }

        void Try(double[] other)
        {
            if (form.CoordinateDescent(wanted, grid, other) is var value && value < least)
                (error, least) = (other, value);
        }
    }

    private static int[] Codes(Grid grid, double[] wanted, double[] error) => [.. wanted.Select((w, c) => grid.Code(c, w + error[c]))];

    /// <summary>The scales for which (Cs − w)ᵀH(Cs − w) is least, C having the codes of a group in its column; null where they would not be positive.</summary>
    private static double[]? Fit(QuadraticForm form, double[] wanted, int[] codes, Grid grid, bool halves)
    {
        var (n, groups) = (form.Size, grid.Groups);
        var products = new double[groups * n];
        for (var c = 0; c < n; c++)
        {
            var code = (double)(codes[c] - grid.Zero(c));
            if (code != 0)
            {
                var into = products.AsSpan(grid.Group(c) * n, n);
                System.Numerics.Tensors.TensorPrimitives.MultiplyAdd(form.H.AsSpan(c * n, n), code, into, into);
            }
        }

        var normal = new double[groups * groups];
        var right = new double[groups];
        for (var g = 0; g < groups; g++)
        {
            var row = products.AsSpan(g * n, n);
            right[g] = System.Numerics.Tensors.TensorPrimitives.Dot<double>(row, wanted);
            for (var c = 0; c < n; c++)
                normal[g * groups + grid.Group(c)] += row[c] * (codes[c] - grid.Zero(c));
        }

        for (var g = 0; g < groups; g++)
        {
            // A group of zeros has no scale to fit.
            if (normal[g * groups + g] <= 0)
                (normal[g * groups + g], right[g]) = (1, grid.Scale(g));
        }

        if (!Solve(normal, right, groups))
            return null;
        for (var g = 0; g < groups; g++)
        {
            if (halves)
                right[g] = (float)(Half)right[g];
            if (!(right[g] > 0) || !double.IsFinite(right[g]))
                return null;
        }

        return right;
    }

    /// <summary>Gauss elimination of a symmetric positive definite matrix.</summary>
    public static bool Solve(double[] matrix, double[] right, int n)
    {
        for (var k = 0; k < n; k++)
        {
            if (!(matrix[k * n + k] > 1e-300))
                return false;
            for (var i = k + 1; i < n; i++)
            {
                var factor = matrix[i * n + k] / matrix[k * n + k];
                for (var j = k; j < n; j++)
                    matrix[i * n + j] -= factor * matrix[k * n + j];
                right[i] -= factor * right[k];
            }
        }

        for (var k = n - 1; k >= 0; k--)
        {
            for (var j = k + 1; j < n; j++)
                right[k] -= matrix[k * n + j] * right[j];
            right[k] /= matrix[k * n + k];
        }

        return true;
    }

    /// <summary>The values of a row: scale·(code − zero), each group of columns with its own.</summary>
    /// <param name="Scales">Of each group.</param>
    /// <param name="Zeros">Of each group.</param>
    /// <param name="Length">Columns of a group.</param>
    /// <param name="Top">The largest code.</param>
    internal readonly record struct Grid(double[] Scales, int[] Zeros, int Length, int Top) : IColumnGrid
    {
        /// <summary>Number of groups.</summary>
        public int Groups => Scales.Length;

        /// <summary>The group of a column.</summary>
        public int Group(int column) => column / Length;

        /// <summary>The scale of a group.</summary>
        public double Scale(int g) => Scales[g];

        /// <summary>The code of zero in a column.</summary>
        public int Zero(int column) => Zeros[column / Length];

        /// <summary>The code nearest to a value.</summary>
        public int Code(int column, double value) => (int)Math.Clamp(Math.Round(value / Scales[column / Length]) + Zeros[column / Length], 0, Top);

        /// <summary>What a code stands for.</summary>
        public double Value(int column, int code) => Scales[column / Length] * (code - Zeros[column / Length]);

        /// <inheritdoc/>
        public double Nearest(int column, double value) => Value(column, Code(column, value));

        /// <inheritdoc/>
        public double Distance(int column) => Scales[column / Length];
    }
}
