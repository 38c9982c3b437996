using System.Numerics.Tensors;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Pruning.Sequential;
using ModelBuildTasks.Engine.Passes.Quantization.Rounding;
using ModelBuildTasks.Engine.Passes.Quantization.Search;
using ModelBuildTasks.Engine.Statistics;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured.Selection;

/// <summary>
/// Fits readers again to what they really read: from the pruned model's inputs x̂ to the outputs W·x that the original has, layer by layer, so
/// that a layer makes up for the layers in front of it, too. W' = W₀ + (W·C_xx̂ − W₀·C_x̂x̂)·(C_x̂x̂ + λI)⁻¹ over the columns that are left: a ridge
/// regression around what <see cref="Refit"/> gave.
/// </summary>
internal static class SequentialRefit
{
    private const double Damping = 0.01;

    // Runs over the data: readers that follow one another share one when there are more.
    private const int Passes = 16;

    // What all runs may compute, in multiply-accumulates.
    private const double Budget = 3e12;

    private const long LargestMatrix = 256L << 20;

    /// <summary>Edits a model that <see cref="PrunedModel.Repaired"/> made.</summary>
    /// <param name="original">The model as it was.</param>
    /// <param name="repaired">The repaired model; it is edited.</param>
    /// <param name="going">Its readers with the columns that go.</param>
    /// <param name="context">Data.</param>
    /// <param name="macs">Multiply-accumulates of the original for one sample.</param>
    public static void Apply(OnnxModel original, OnnxModel repaired, IEnumerable<(Reader Reader, int[] Columns)> going, PassContext context, double macs)
    {
        var readers = going.Where(r => Fits(r.Reader)).OrderBy(r => r.Reader.Node.Index).ToList();
        // What is in bodies cannot be shown beside what it was.
        if (readers.Count == 0 || original.Graph.Node.Any(n => n.Bodies().Any()))
            return;
        var passes = Math.Min(readers.Count, Passes);
        var samples = (long)Math.Clamp(Budget / (2 * macs * passes), 8, int.MaxValue);
        var data = context.Calibration!.Feedback.Count > 0 || context.Calibration.Count <= samples ? context.Calibration : new ThinnedData(context.Calibration, samples);
        for (var pass = 0; pass < passes; pass++)
        {
            var mine = readers[(pass * readers.Count / passes)..((pass + 1) * readers.Count / passes)];
            var both = new PairedModel(original, repaired);
            // What nothing pruned has reached reads what it always read.
            var reached = mine.Select(r => (Fit: r, First: both.Matrix(r.Reader.Weight, LargestMatrix))).Where(r => r.First is not null).ToList();
            if (reached.Count == 0)
                continue;
            var second = reached.Select(r => new GramMatrix(r.First!.Value, r.First.Geometry)).ToList();
            var halves = data.Feedback.Count == 0 && data.Count > 1;
            StatisticsCollector.Collect(both.Model, [], halves ? new HalfData(data, 0) : data, context.Threads, null, null, [.. reached.Select(r => r.First!)]);
            if (halves)
                StatisticsCollector.Collect(both.Model, [], new HalfData(data, 1), context.Threads, null, null, second);
            var edits = new ReaderEdits(repaired);
            for (var i = 0; i < reached.Count; i++)
            {
                var ((reader, columns), first) = reached[i];
                if (first!.IsValid)
                    Fit(reader, columns, first, halves && second[i].IsValid ? second[i] : null, repaired, edits);
            }

            context.Progress?.Invoke((pass + 1.0) / passes);
        }
    }

    private static bool Fits(Reader reader) => reader.Node.Graph == 0 && reader.Groups == 1 && reader.Seen && reader.Weight.Input == 1
        && reader.Weight.Node.OpType is "Conv" or "ConvTranspose" or "MatMul" or "Gemm";

    private static void Fit(Reader reader, int[] going, GramMatrix seen, GramMatrix? other, OnnxModel repaired, ReaderEdits edits)
    {
        var (n, gone) = (reader.Columns, going.ToHashSet());
        var (moments, means) = SeenMoments.Of(seen, other, 0, centered: reader.Bias is not null, firstOnly: false);
        int[] staying = [.. Enumerable.Range(0, n).Where(c => !gone.Contains(c))];
        var s = staying.Length;
        if (s == 0)
            return;
        var inner = new double[s * s];
        for (var i = 0; i < s; i++)
        {
            for (var j = 0; j < s; j++)
                inner[i * s + j] = moments[(n + staying[i]) * 2 * n + n + staying[j]];
        }

        double mean = 0;
        for (var i = 0; i < s; i++)
            mean += inner[i * s + i] / s;
        var plain = (double[])inner.Clone();
        for (var i = 0; i < s; i++)
            inner[i * s + i] += Damping * (mean > 0 ? mean : 1);
        var lower = Cholesky.FactorDamped(inner, s);

        var now = reader.RowsIn(repaired);
        var rows = new double[reader.RowCount][];
        var shift = reader.Bias is null ? null : new double[reader.RowCount];
        Parallel.For(0, rows.Length, r =>
        {
            var (old, start) = (reader.Row(r), now[r]);
            // What the output of the pruned model lacks, in each column it can use.
            var right = new double[s];
            for (var c = 0; c < n; c++)
            {
                // x̂ lies behind x of the original.
                if (old[c] == 0)
                    continue;
                for (var i = 0; i < s; i++)
                    right[i] += old[c] * moments[c * 2 * n + n + staying[i]];
            }

            var first = new double[s];
            for (var i = 0; i < s; i++)
                first[i] = start[staying[i]];
            for (var i = 0; i < s; i++)
                right[i] -= TensorPrimitives.Dot<double>(plain.AsSpan(i * s, s), first);
            Cholesky.Solve(lower, right);
            var row = new double[n];
            for (var i = 0; i < s; i++)
                row[staying[i]] = first[i] + right[i];
            rows[r] = row;
            if (shift is not null)
            {
                // The mean of the output becomes that of the original, whose bias the node had.
                double wanted = 0, made = 0;
                for (var c = 0; c < n; c++)
                {
                    wanted += old[c] * means[c];
                    made += row[c] * means[n + c];
                }

                shift[r] = wanted - made;
            }
        });
        edits.Replace(reader, rows, shift);
    }
}
