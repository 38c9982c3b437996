using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.Quantization.Equalization;

/// <summary>
/// SmoothQuant (Xiao et al. 2023, "SmoothQuant: Accurate and Efficient Post-Training Quantization for Large Language Models"): X/s and
/// W·s with s_j = max|X_j|^α / max|W_j|^(1−α) moves outliers of activation channels into the weights, which have scales of their
/// own. 1/s goes into the constants of what makes X (a normalization's affine part, or the layer before), never into a node of its
/// own; all layers that read X are scaled together. α is chosen for each place by the predicted error of its layers' outputs.
/// </summary>
internal static class SmoothQuant
{
    /// <summary>The manifest's switch.</summary>
    public const string Kind = "smoothquant";

    /// <summary>The α that are tried.</summary>
    public static IReadOnlyList<double> Alphas { get; } = [0.15, 0.25, 0.5, 0.75, 0.95];

    // The floor of a channel's range in the formula, and how far a channel may go from the usual one.
    private const double Floor = 1e-5;
    private const double Limit = 1000;

    /// <summary>Places whose channels can be scaled; of places with the same readers the last, which is nearest to them.</summary>
    public static IEnumerable<(ChannelSource Source, ChannelPath Path)> Places(GraphIndex index)
    {
        var places = new OrderedDictionary<string, (ChannelSource, ChannelPath)>();
        foreach (var source in ChannelSource.All(index))
        {
            if (ChannelPath.From(index, source.Value, source.Place, source.Channels, out _) is { } path)
                places[string.Join('\n', path.Readers.Select(r => r.Node.Output[0]))] = (source, path);
        }

        return places.Values;
    }

    /// <summary>Smooths one place with the α of the least predicted error; nothing is done where no α is predicted to help.</summary>
    /// <param name="state">The float model with summaries of what the readers read.</param>
    /// <param name="value">The source's output.</param>
    /// <param name="perChannel">Whether weights will have a scale for each output channel.</param>
    public static RepairResult Apply(RepairState state, string value, bool perChannel)
    {
        var scaling = new ChannelScaling(state);
        if (scaling.Source(value) is not { } source || ChannelPath.From(scaling.Index, value, source.Place, source.Channels, out _) is not { } path
            || source.IsLinear && scaling.Layer(source.Node) is null || path.Readers.Any(r => scaling.Layer(r.Node) is null))
            return new(state, []);
        var inputs = path.Readers.Select(r => Grouped(state, r, source.Channels)).ToList();
        if (inputs.Any(i => i is null))
            return new(state, []);
        var activations = Enumerable.Range(0, source.Channels).Select(c => inputs.Max(i => i!.Magnitude(c))).ToArray();
        var weights = scaling.ReaderRanges(path, source.Channels);
        var layers = path.Readers.Select((r, i) => (Layer: scaling.Layer(r.Node)!, r.Block, Seen: inputs[i]!)).ToList();
        double Error(double[] scales) => layers.Sum(l => RelativeError(l.Layer, l.Block, l.Seen, scales, perChannel));
        var plain = Error([.. activations.Select(_ => 1.0)]);
        var best = Alphas.Select(a => (Alpha: a, Scales: Scales(activations, weights, a))).MinBy(c => Error(c.Scales));
        var error = Error(best.Scales);
        if (!(error < plain))
            return new(state, []);
        scaling.Scale(source, path, [.. best.Scales.Select(s => 1 / s)]);
        var decision = new Decision(source.Node.DisplayName(), source.Node.OpType, "smoothed",
            $"for {CrossLayerEqualization.Readers(path)} with alpha {best.Alpha}: their predicted error falls from {Decibels(plain):F1} to {Decibels(error):F1} dB below the signal");
        return scaling.Write() is { } written ? new(written, [decision]) : new(state, []);
    }

    /// <summary>s_j = max|X_j|^α / max|W_j|^(1−α). A channel that is always zero gets the usual scale.</summary>
    public static double[] Scales(double[] activations, double[] weights, double alpha)
    {
        var scales = activations.Select((x, j) => Math.Pow(Math.Max(x, Floor), alpha) / Math.Pow(Math.Max(weights[j], Floor), 1 - alpha)).ToArray();
        var live = Enumerable.Range(0, scales.Length).Where(j => activations[j] > 0 && weights[j] > 0).ToList();
        if (live.Count == 0)
            return [.. scales.Select(_ => 1.0)];
        var usual = Math.Exp(live.Average(j => Math.Log(scales[j])));
        return [.. scales.Select((s, j) => activations[j] > 0 && weights[j] > 0 ? Math.Clamp(s, usual / Limit, usual * Limit) : usual)];
    }

    /// <summary>
    /// Predicted noise over signal of a layer with 8-bit weights and one 8-bit activation scale. Rounding to steps Δ makes an error of Δ²/12:
    /// of x it reaches output o with Σ_j W_oj², of W with Σ_j E[x_j²]; errors are taken as independent, and channels as uncorrelated.
    /// </summary>
    private static double RelativeError(LinearLayer layer, int block, ChannelSummary seen, double[] scales, bool perChannel)
    {
        var (low, high) = (0.0, 0.0);
        for (var j = 0; j < scales.Length; j++)
        {
            low = Math.Min(low, seen.Min[j] / scales[j]);
            high = Math.Max(high, seen.Max[j] / scales[j]);
        }

        var ranges = new double[layer.Outputs];
        var gains = new double[layer.Outputs];
        var powers = new double[layer.Outputs];
        var signal = 0.0;
        layer.ForEach((o, i, w) =>
        {
            var j = i / block;
            var scaled = w * scales[j];
            ranges[o] = Math.Max(ranges[o], scaled);
            gains[o] += scaled * scaled;
            powers[o] += seen.MeanSquare[j] / (scales[j] * scales[j]);
            signal += w * w * seen.MeanSquare[j];
        });
        var step = (high - low) / 255;
        var widest = ranges.Max();
        var noise = 0.0;
        for (var o = 0; o < layer.Outputs; o++)
        {
            var weightStep = (perChannel ? ranges[o] : widest) / AffineQuantizer.WeightMax;
            noise += (gains[o] * step * step + powers[o] * weightStep * weightStep) / 12;
        }

        return signal > 0 ? noise / signal : 0;
    }

    /// <summary>What a reader reads, with the channels that belong to one channel of the path taken together.</summary>
    private static ChannelSummary? Grouped(RepairState state, ChannelReader reader, int channels)
    {
        if (!state.Channels.TryGetValue(reader.Value, out var seen) || seen.Channels != channels * reader.Block)
            return null;
        return reader.Block == 1 ? seen : new(
            [.. seen.Min.Chunk(reader.Block).Select(b => b.Min())], [.. seen.Max.Chunk(reader.Block).Select(b => b.Max())],
            [.. seen.Mean.Chunk(reader.Block).Select(b => b.Average())], [.. seen.MeanSquare.Chunk(reader.Block).Select(b => b.Average())]);
    }

    private static double Decibels(double ratio) => ratio > 0 ? -10 * Math.Log10(ratio) : 200;
}
