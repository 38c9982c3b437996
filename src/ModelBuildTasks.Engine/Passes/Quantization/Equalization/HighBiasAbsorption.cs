using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.Quantization.Equalization;

/// <summary>
/// High-bias absorption (Nagel et al. 2019, section 4.1.3): a channel whose values all lie far above zero wastes the range that a
/// tensor's channels share. c = max(0, β − 3γ) is taken from the first layer's bias, and W₂·c is given to the second's: behind a
/// Relu, relu(x − c) + c = relu(x) for every x ≥ c. β and γ are mean and standard deviation over the calibration data;
/// c is no greater than the least value seen there, so that nothing seen is changed. Where the second layer pads with
/// zeros the exchange would not be exact at the border, and is refused.
/// </summary>
internal static class HighBiasAbsorption
{
    // Below this share of the value's range an exchange only stirs the last bits.
    private const double Least = 1e-3;

    /// <summary>Absorbs what can be of all pairs, or of those that begin with the given values.</summary>
    /// <param name="state">The float model with summaries of the first layers' outputs; pairs without one are left.</param>
    /// <param name="sources">Outputs of first layers, or null for all.</param>
    public static RepairResult Apply(RepairState state, IReadOnlySet<string>? sources = null)
    {
        var scaling = new ChannelScaling(state);
        var decisions = new List<Decision>();
        foreach (var (source, path) in CrossLayerEqualization.Pairs(scaling.Index).Where(p => sources is null || sources.Contains(p.Source.Value)))
        {
            if (!IsExact(scaling.Index, source, path) || !state.Channels.TryGetValue(source.Value, out var seen) || seen.Channels != source.Channels)
                continue;
            var absorbed = Absorbed(seen);
            if (absorbed.All(c => c == 0) || scaling.Layer(source.Node) is not { CanShift: true } first || path.Readers.Any(r => scaling.Layer(r.Node) is not { CanShift: true }))
                continue;
            first.Shift([.. absorbed.Select(c => -c)]);
            foreach (var reader in path.Readers)
            {
                var layer = scaling.Layer(reader.Node)!;
                layer.Shift(layer.Respond([.. Enumerable.Range(0, layer.Inputs).Select(i => absorbed[i / reader.Block])]));
            }

            scaling.Lower(path.Values.Keys, absorbed);
            decisions.Add(new(source.Node.DisplayName(), source.Node.OpType, "bias absorbed", $"by {CrossLayerEqualization.Readers(path)}: {absorbed.Count(c => c > 0)} of {absorbed.Length} channels lie above zero, by up to {absorbed.Max():G3}"));
        }

        return decisions.Count > 0 && scaling.Write() is { } written ? new(written, decisions) : new(state, []);
    }

    private static double[] Absorbed(ChannelSummary seen)
    {
        var range = Math.Max(0, seen.Max.Max()) - Math.Min(0, seen.Min.Min());
        return [.. Enumerable.Range(0, seen.Channels)
            .Select(c => Math.Max(0, Math.Min(seen.Min[c], seen.Mean[c] - 3 * seen.Deviation(c))))
            .Select(c => c > Least * range ? c : 0)];
    }

    /// <summary>Whether x − c in front of the path is x − c behind it, and the readers see no zeros besides.</summary>
    private static bool IsExact(GraphIndex index, ChannelSource source, ChannelPath path) =>
        path.Through.All(n => n.OpType switch
        {
            "Relu" or "LeakyRelu" or "PRelu" or "Identity" or "MaxPool" or "GlobalMaxPool" or "GlobalAveragePool" or "Transpose" or "Flatten" => true,
            "AveragePool" => n.Int("count_include_pad") == 0,
            _ => false,
        })
        && path.Readers.All(r => r.Node.OpType switch
        {
            "Conv" => r.Node.String("auto_pad", "NOTSET") is "NOTSET" or "VALID" && (r.Node.Ints("pads") ?? []).All(p => p == 0),
            "Gemm" => true,
            _ => false,
        });
}
