using System.Numerics.Tensors;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Quantization.Equalization;
using ModelBuildTasks.Engine.Passes.Quantization.Rounding;
using ModelBuildTasks.Engine.Passes.Quantization.Search;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured.Selection;

/// <summary>
/// What is left of a reader makes up for the columns that go: W_S += W_P·C_PS·C_SS⁻¹, and the bias takes W_P·µ_P − ΔW_S·µ_S. Columns that
/// go become zero; nothing changes its shape.
/// </summary>
internal static class Refit
{
    /// <summary>Edits the readers of units that go.</summary>
    /// <param name="clone">A clone of the model; it is edited.</param>
    /// <param name="groups">The groups.</param>
    /// <param name="readers">Their readers.</param>
    /// <param name="removed">The units that go, by the id of their group.</param>
    /// <param name="repair">Whether weights, or biases alone, make up for it.</param>
    public static void Apply(OnnxModel clone, IEnumerable<ChannelGroup> groups, Readers readers, IReadOnlyDictionary<int, IReadOnlyList<int>> removed, PruneRepair repair)
    {
        var edits = new ReaderEdits(clone);
        foreach (var (reader, columns) in Going(groups, readers, removed))
        {
            // What others read, too, is fitted for none of them; it is cut for all.
            if (reader.IsShared)
            {
                edits.Clear(reader, columns);
                continue;
            }

            // Without anything seen there is nothing to fit to.
            var (weight, bias) = Fit(reader, columns, !reader.Seen ? PruneRepair.None : repair);
            edits.Set(reader, weight, bias);
        }
    }

    /// <summary>The columns that go of each reader.</summary>
    public static IEnumerable<(Reader Reader, int[] Columns)> Going(IEnumerable<ChannelGroup> groups, Readers readers, IReadOnlyDictionary<int, IReadOnlyList<int>> removed)
    {
        var columns = new Dictionary<Reader, SortedSet<int>>(ReferenceEqualityComparer.Instance);
        var order = new List<Reader>();
        foreach (var group in groups)
        {
            if (!removed.TryGetValue(group.Id, out var units))
                continue;
            foreach (var consumer in group.Consumers)
            {
                if (readers.Of(consumer) is not { } reader)
                    continue;
                if (!columns.TryGetValue(reader, out var set))
                {
                    columns[reader] = set = [];
                    order.Add(reader);
                }

                set.UnionWith(units.SelectMany(u => consumer.Columns[u]));
            }
        }

        return order.Select(r => (r, (int[])[.. columns[r]])).Where(p => p.Item2.Length > 0);
    }

    /// <summary>The rows after the removal, and what the bias takes: null for nothing.</summary>
    private static (double[][] Weight, double[]? Bias) Fit(Reader reader, int[] going, PruneRepair repair)
    {
        var n = reader.Columns;
        int[] staying = [.. Enumerable.Range(0, n).Except(going)];
        var rows = Enumerable.Range(0, reader.RowCount).Select(reader.Row).ToArray();
        var shift = reader.Bias is not null && repair != PruneRepair.None ? new double[reader.RowCount] : null;
        for (var g = 0; g < reader.Groups; g++)
        {
            var mine = Enumerable.Range(0, rows.Length).Where(r => reader.Group(r) == g).ToList();
            var means = shift is null ? null : reader.Means(g);
            if (repair == PruneRepair.Refit && staying.Length > 0)
                FitGroup(reader.Moments(g), n, going, staying, mine.Select(r => rows[r]).ToList(), means, shift is null ? null : (r, s) => shift[mine[r]] += s);
            foreach (var r in mine)
            {
                foreach (var c in going)
                {
                    if (means is not null)
                        shift![r] += rows[r][c] * means[c];
                    rows[r][c] = 0;
                }
            }
        }

        return (rows, shift);
    }

    private static void FitGroup(double[] moments, int n, int[] going, int[] staying, List<double[]> rows, double[]? means, Action<int, double>? shift)
    {
        var s = staying.Length;
        var inner = new double[s * s];
        for (var i = 0; i < s; i++)
        {
            for (var j = 0; j < s; j++)
                inner[i * s + j] = moments[staying[i] * n + staying[j]];
        }

        var lower = Cholesky.FactorDamped(inner, s);
        // A row is fitted by itself: the bits do not depend on threads.
        var deltas = new double[rows.Count][];
        Parallel.For(0, rows.Count, r =>
        {
            var right = new double[s];
            foreach (var c in going)
            {
                if (rows[r][c] == 0)
                    continue;
                for (var i = 0; i < s; i++)
                    right[i] += rows[r][c] * moments[c * n + staying[i]];
            }

            Cholesky.Solve(lower, right);
            deltas[r] = right;
        });
        for (var r = 0; r < rows.Count; r++)
        {
            for (var i = 0; i < s; i++)
            {
                rows[r][staying[i]] += deltas[r][i];
                if (means is not null)
                    shift!(r, -deltas[r][i] * means[staying[i]]);
            }
        }
    }
}
