using System.Numerics.Tensors;
using ModelBuildTasks.Engine.Passes.Quantization.Bits;
using ModelBuildTasks.Engine.Passes.Quantization.Rounding;

namespace ModelBuildTasks.Engine.Passes.Clustering;

/// <summary>
/// Palettes of a weight and its codes. Without data optimal one-dimensional k-means. With data the values weigh what they are multiplied with,
/// then codes for the least output error, the better of nearest and nearest plane, each followed by coordinate descent, and palettes that fit
/// the codes best in the least-squares sense of the outputs take turns as long as that helps.
/// </summary>
/// <param name="bits">Bits of a code.</param>
/// <param name="channels">Output channels that share a palette; 0 for all.</param>
/// <param name="rounds">Whether codes are chosen by their output error.</param>
/// <param name="threads">Threads to use; the result does not depend on it.</param>
internal sealed class PaletteSearch(int bits, int channels, bool rounds, int threads)
{
    private const int Refits = 4;

    // Rows are added up in so many parts whatever the threads.
    private const int Parts = 16;

    private readonly ParallelOptions _parallel = new() { MaxDegreeOfParallelism = Math.Max(1, threads) };

    /// <summary>Palettes and codes of a weight.</summary>
    public PaletteWeight Find(ClusterWeight weight)
    {
        var all = (int)weight.Weight.Channels;
        var group = channels == 0 ? all : BitForms.Divisor(all, channels);
        var tables = Start(weight, group);
        var result = new PaletteWeight(new byte[weight.Values.Length], tables, group);
        if (weight.Rows is null || !rounds)
        {
            for (var i = 0; i < result.Codes.Length; i++)
                result.Codes[i] = (byte)Nearest(tables[weight.Channel(i) / group], weight.Values[i]);
            return result;
        }

        return Round(weight, result);
    }

    private float[][] Start(ClusterWeight weight, int group)
    {
        var importance = weight.Importance();
        var tables = new float[weight.Weight.Channels / group][];
        var members = Enumerable.Range(0, tables.Length).Select(_ => new List<int>(weight.Values.Length / tables.Length)).ToArray();
        for (var i = 0; i < weight.Values.Length; i++)
        {
            // Zeros that stay have a code of their own.
            if (!weight.KeepsZeros || weight.Values[i] != 0)
                members[weight.Channel(i) / group].Add(i);
        }

        Parallel.For(0, tables.Length, _parallel, g =>
        {
            float[] values = [.. members[g].Select(i => weight.Values[i])];
            double[] weights = importance.Length > 0 ? [.. members[g].Select(i => importance[i])] : [];
            var k = (1 << bits) - (weight.KeepsZeros ? 1 : 0);
            var centers = values.Length > 0 ? ScalarKMeans.Centers(values, weights, k) : [];
            tables[g] = Table(weight.KeepsZeros ? centers.Append(0) : centers);
        });
        return tables;
    }

    /// <summary>Distinct ascending values as they are stored: float16, where that has the digits.</summary>
    internal static float[] Table(IEnumerable<double> values)
    {
        var list = values.ToList();
        var halves = list.TrueForAll(v => v == 0 || Math.Abs(v) is >= 1e-4 and < 65504);
        return [.. list.Select(v => halves ? (float)(Half)v : (float)v).Distinct().Order()];
    }

    private PaletteWeight Round(ClusterWeight weight, PaletteWeight start)
    {
        var (rows, n) = (weight.Rows!, weight.Rows!.Columns);
        var forms = weight.Forms(threads);
        var (wanted, errors) = (new double[rows.Count][], new double[rows.Count][]);
        var losses = new double[rows.Count];
        Parallel.For(0, rows.Count, _parallel, r =>
        {
            wanted[r] = new double[n];
            for (var c = 0; c < n; c++)
                wanted[r][c] = weight.Values[rows.Index(r, c)];
            var (form, grid) = (forms[rows.Group(r)], Grid(r, start.Tables));
            var (nearest, plane) = (new double[n], new double[n]);
            for (var c = 0; c < n; c++)
                nearest[c] = grid.Nearest(c, wanted[r][c]) - wanted[r][c];
            losses[r] = form.CoordinateDescent(wanted[r], grid, nearest);
            form.NearestPlane(wanted[r], grid, plane);
            var other = form.CoordinateDescent(wanted[r], grid, plane);
            (losses[r], errors[r]) = other < losses[r] ? (other, plane) : (losses[r], nearest);
        });
        var tables = start.Tables;
        for (var refit = 0; refit < Refits; refit++)
        {
            var fitted = Fit(weight, forms, wanted, errors, tables, start.Channels);
            var (trial, found) = (new double[rows.Count][], new double[rows.Count]);
            Parallel.For(0, rows.Count, _parallel, r =>
            {
                var (before, after) = (tables[rows.Channel(r) / start.Channels], fitted[rows.Channel(r) / start.Channels]);
                var grid = Grid(r, fitted);
                var rest = trial[r] = new double[n];
                // The value that took the old one's place is near it; the nearest is at least as good a start.
                for (var c = 0; c < n; c++)
                    rest[c] = (weight.KeepsZeros && wanted[r][c] == 0 ? 0 : after[Math.Min(after.Length - 1, Nearest(before, wanted[r][c] + errors[r][c]))]) - wanted[r][c];
                found[r] = forms[rows.Group(r)].CoordinateDescent(wanted[r], grid, rest);
            });
            if (!(found.Sum() < losses.Sum() * (1 - 1e-4)))
                break;
            (tables, errors, losses) = (fitted, trial, found);
        }

        var codes = new byte[weight.Values.Length];
        for (var r = 0; r < rows.Count; r++)
        {
            for (var c = 0; c < n; c++)
                codes[rows.Index(r, c)] = (byte)Nearest(tables[rows.Channel(r) / start.Channels], wanted[r][c] + errors[r][c]);
        }

        return start with { Codes = codes, Tables = tables };

        PaletteGrid Grid(int row, float[][] from) => new(Array.ConvertAll(from[rows.Channel(row) / start.Channels], v => (double)v), weight.KeepsZeros ? wanted[row] : null);
    }

    /// <summary>The palettes for which Σ (ŵ − w)ᵀH(ŵ − w) is least with all codes fixed. A value that no weight has stays.</summary>
    private float[][] Fit(ClusterWeight weight, QuadraticForm[] forms, double[][] wanted, double[][] errors, float[][] tables, int group)
    {
        var (rows, n) = (weight.Rows!, weight.Rows!.Columns);
        var parts = new (double[] Normal, double[] Right)[tables.Length * Parts];
        Parallel.For(0, parts.Length, _parallel, p =>
        {
            var (table, part) = (p / Parts, p % Parts);
            var k = tables[table].Length;
            var (normal, right) = (new double[k * k], new double[k]);
            var (codes, shares) = (new int[n], new double[k]);
            for (var r = part; r < rows.Count; r += Parts)
            {
                if (rows.Channel(r) / group != table)
                    continue;
                var h = forms[rows.Group(r)].H;
                for (var c = 0; c < n; c++)
                    codes[c] = Nearest(tables[table], wanted[r][c] + errors[r][c]);
                for (var c = 0; c < n; c++)
                {
                    var row = h.AsSpan(c * n, n);
                    Array.Clear(shares);
                    for (var j = 0; j < n; j++)
                        shares[codes[j]] += row[j];
                    var into = normal.AsSpan(codes[c] * k, k);
                    TensorPrimitives.Add(into, shares, into);
                    right[codes[c]] += TensorPrimitives.Dot<double>(row, wanted[r]);
                }
            }

            parts[p] = (normal, right);
        });
        return [.. tables.Select((table, t) => Solve(table, parts.AsSpan(t * Parts, Parts), weight.KeepsZeros))];
    }

    private static float[] Solve(float[] table, ReadOnlySpan<(double[] Normal, double[] Right)> parts, bool keepsZero)
    {
        var k = table.Length;
        var (normal, right) = (new double[k * k], new double[k]);
        foreach (var (n, r) in parts)
        {
            TensorPrimitives.Add(normal, n, normal);
            TensorPrimitives.Add(right, r, right);
        }

        var mean = Enumerable.Range(0, k).Sum(i => normal[i * k + i]) / k;
        for (var i = 0; i < k; i++)
        {
            // Held where it is: what nothing has, and the zero.
            var hold = keepsZero && table[i] == 0 ? 1e9 * mean : 1e-6 * mean;
            normal[i * k + i] += hold;
            right[i] += hold * table[i];
        }

        if (!GridRounding.Solve(normal, right, k) || !Array.TrueForAll(right, double.IsFinite))
            return table;
        for (var i = 0; i < k; i++)
        {
            if (keepsZero && table[i] == 0)
                right[i] = 0;
            // Values keep their order: codes stay what they are.
            if (i > 0 && right[i] <= right[i - 1])
                return table;
        }

        var fitted = Table(right);
        return fitted.Length == k ? fitted : table;
    }

    private static int Nearest(float[] table, double value)
    {
        var (low, high) = (0, table.Length - 1);
        while (low < high)
        {
            var middle = (low + high) / 2;
            if (value - table[middle] <= table[middle + 1] - value)
                high = middle;
            else
                low = middle + 1;
        }

        return low;
    }
}
