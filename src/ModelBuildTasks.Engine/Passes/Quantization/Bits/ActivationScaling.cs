using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Quantization.Equalization;
using ModelBuildTasks.Engine.Passes.Quantization.Rounding;
using ModelBuildTasks.Engine.Statistics;

namespace ModelBuildTasks.Engine.Passes.Quantization.Bits;

/// <summary>
/// AWQ (Lin et al. 2023, "AWQ: Activation-aware Weight Quantization"): x/s and W·s with s_j = m_j^α, m_j being the magnitude of input channel j,
/// so that the weights which meet large activations are rounded finer. α is searched between 0 and 1 for the least output error
/// E‖(Ŵ/s − W)x‖², which the Gram matrix of x gives without running anything; m_j is the root mean square from its diagonal (the paper has the mean
/// magnitude). 1/s goes into the constants of what makes x: where it would need a node of its own nothing is done.
/// </summary>
internal sealed class ActivationScaling(OnnxModel model, BitsPlan plan, RoundingData data, BitForms forms, int threads)
{
    private const int Steps = 10;

    // Channels that hardly ever have a value do not get arbitrary scales.
    private const double Floor = 1e-3;

    private sealed record Reader(NodeWeight Weight, int Block, float[] Values, WeightRows Rows, IReadOnlyList<QuadraticForm> Forms, int Taps)
    {
        public int PerGroup => Rows.Columns / Taps;
    }

    /// <summary>The scaled model with the same function, and what was scaled; the model itself where nothing gains.</summary>
    /// <param name="choices">The nodes whose weights will be rounded.</param>
    public (OnnxModel Model, IReadOnlyList<Decision> Decisions) Run(IReadOnlyList<FormChoice> choices)
    {
        var weights = choices.Where(c => c.Weights.Count == 1).ToDictionary<FormChoice, NodeProto, NodeWeight>(c => c.Node, c => c.Weights[0], ReferenceEqualityComparer.Instance);
        var index = new GraphIndex(model, model.Graph);
        var scaling = new ChannelScaling(new RepairState(model, new Dictionary<string, ChannelSummary>()));
        var decisions = new List<Decision>();
        foreach (var (source, path) in SmoothQuant.Places(index))
        {
            var readers = path.Readers.Select(r => weights.TryGetValue(r.Node, out var weight) ? Read(weight, r.Block) : null).ToList();
            if (readers.Count == 0 || readers.Any(r => r is null) || Search(readers!, source.Channels) is not { } found)
                continue;
            // The same place of the clone.
            if (scaling.Source(source.Value) is not { } here || ChannelPath.From(scaling.Index, here.Value, here.Place, here.Channels, out _) is not { } way
                || here.IsLinear && scaling.Layer(here.Node) is null || way.Readers.Any(r => scaling.Layer(r.Node) is null))
                continue;
            scaling.Scale(here, way, [.. found.Scales.Select(s => 1 / s)]);
            decisions.Add(new(source.Node.DisplayName(), source.Node.OpType, "scaled",
                FormattableString.Invariant($"channels by activations to the power of {found.Alpha:0.0} for {CrossLayerEqualization.Readers(path)}: the output error of their weights falls to {found.Left:P0}")));
        }

        return decisions.Count > 0 && scaling.Write() is { } written ? (written.Model, decisions) : (model, []);
    }

    /// <summary>The scales of m^α, with a geometric mean of 1.</summary>
    public static double[] Scales(double[] magnitudes, double alpha)
    {
        var least = Floor * magnitudes.Max();
        var scales = magnitudes.Select(m => Math.Pow(Math.Max(m, least), alpha)).ToArray();
        var usual = Math.Exp(scales.Average(Math.Log));
        return [.. scales.Select(s => s / usual)];
    }

    private (double Alpha, double[] Scales, double Left)? Search(IReadOnlyList<Reader> readers, int channels)
    {
        var magnitudes = Magnitudes(readers[0], channels);
        if (!(magnitudes.Max() > 0))
            return null;
        var trials = new (double Alpha, double[] Scales, double Error)[Steps];
        for (var step = 0; step < Steps; step++)
        {
            var alpha = (double)step / Steps;
            var scales = Scales(magnitudes, alpha);
            trials[step] = (alpha, scales, readers.Sum(r => Error(r, scales)));
        }

        var best = trials.MinBy(t => t.Error);
        // Float constants change, which has to be worth it.
        return best.Error < 0.99 * trials[0].Error ? (best.Alpha, best.Scales, best.Error / trials[0].Error) : null;
    }

    private Reader? Read(NodeWeight weight, int block)
    {
        var grams = data.Of(weight);
        if (grams.Count == 0)
            return null;
        var rows = WeightRows.Of(weight, grams[0].Geometry);
        var forms = Enumerable.Range(0, rows.Groups).Select(g => new QuadraticForm(WeightRounding.Moments(grams, g, centered: false), rows.Columns, 1e-6, RowRounding.Shrinkage)).ToList();
        return new(weight, block, model.ReadFloats(weight.Tensor), rows, forms, grams[0].Geometry.Taps);
    }

    /// <summary>The root mean square of each channel, over the taps of a window and the columns that belong to it.</summary>
    private static double[] Magnitudes(Reader reader, int channels)
    {
        var (sums, counts) = (new double[channels], new int[channels]);
        for (var g = 0; g < reader.Forms.Count; g++)
        {
            for (var c = 0; c < reader.Rows.Columns; c++)
            {
                var channel = (g * reader.PerGroup + c / reader.Taps) / reader.Block;
                sums[channel] += reader.Forms[g].H[c * reader.Rows.Columns + c];
                counts[channel]++;
            }
        }

        return [.. sums.Select((s, i) => Math.Sqrt(s / Math.Max(1, counts[i])))];
    }

    /// <summary>Noise over signal of a reader's outputs.</summary>
    private double Error(Reader reader, double[] scales)
    {
        var (rows, columns) = (reader.Rows, reader.Rows.Columns);
        var layout = RowLayout.Of(reader.Weight)!.Value;
        var scaled = new float[reader.Values.Length];
        double Scale(int row, int column) => scales[(rows.Group(row) * reader.PerGroup + column / reader.Taps) / reader.Block];
        for (var r = 0; r < rows.Count; r++)
        {
            for (var c = 0; c < columns; c++)
                scaled[rows.Index(r, c)] = (float)(reader.Values[rows.Index(r, c)] * Scale(r, c));
        }

        var grid = BitQuantizer.Grid(plan);
        var decoded = RoundToNearest.Quantize(scaled, layout, grid, forms.Group(reader.Weight, layout, grid.Bits, plan.Group), [], true, threads).Decode();
        var (noise, signal) = (new double[rows.Count], new double[rows.Count]);
        Parallel.For(0, rows.Count, new ParallelOptions { MaxDegreeOfParallelism = Math.Max(1, threads) }, r =>
        {
            var (error, weight) = (new double[columns], new double[columns]);
            for (var c = 0; c < columns; c++)
            {
                var at = rows.Index(r, c);
                (weight[c], error[c]) = (reader.Values[at], decoded[at] / Scale(r, c) - reader.Values[at]);
            }

            (noise[r], signal[r]) = (reader.Forms[rows.Group(r)].Value(error), reader.Forms[rows.Group(r)].Value(weight));
        });
        return signal.Sum() > 0 ? noise.Sum() / signal.Sum() : 0;
    }
}
