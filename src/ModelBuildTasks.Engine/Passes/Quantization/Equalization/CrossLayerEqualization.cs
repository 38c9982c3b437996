using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.Quantization.Equalization;

/// <summary>
/// Cross-layer equalization (Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", section
/// 4.1): between two linear layers with nothing but positively homogeneous operators, W₁/s, b₁/s and W₂·s compute the same, and
/// s = √(r₁/r₂) makes the greatest weights of each shared channel equal, r being max|W| of the channel. Pairs of a network are
/// equalized in turn until nothing changes; a depthwise layer between two others ends where the closed form for triples does:
/// all three ranges are their geometric mean. Where several layers read the value, r₂ is the greatest of theirs.
/// </summary>
internal static class CrossLayerEqualization
{
    /// <summary>The manifest's switch.</summary>
    public const string Kind = "equalization";

    /// <summary>Factors stay between 1 / this and this of their geometric mean.</summary>
    public const double Limit = 100;

    private const int MostSweeps = 100;
    private const double Settled = 1e-5;

    /// <summary>Equalizes all pairs, or those that begin with the given values.</summary>
    /// <param name="state">The float model; no statistics are needed.</param>
    /// <param name="sources">Outputs of first layers, or null for all.</param>
    public static RepairResult Apply(RepairState state, IReadOnlySet<string>? sources = null)
    {
        var scaling = new ChannelScaling(state);
        var pairs = Pairs(scaling.Index).Where(p => sources is null || sources.Contains(p.Source.Value))
            .Where(p => scaling.Layer(p.Source.Node) is not null && p.Path.Readers.All(r => scaling.Layer(r.Node) is not null)).ToList();
        var totals = pairs.ConvertAll(p => Enumerable.Repeat(1.0, p.Source.Channels).ToArray());
        for (var sweep = 0; sweep < MostSweeps; sweep++)
        {
            var change = 0.0;
            for (var i = 0; i < pairs.Count; i++)
            {
                var (source, path) = pairs[i];
                var factors = Factors(scaling.Layer(source.Node)!.OutputRanges(), scaling.ReaderRanges(path, source.Channels), totals[i]);
                scaling.Scale(source, path, factors);
                for (var c = 0; c < factors.Length; c++)
                {
                    totals[i][c] *= factors[c];
                    change = Math.Max(change, Math.Abs(Math.Log(factors[c])));
                }
            }

            if (change < Settled)
                break;
        }

        var decisions = new List<Decision>();
        for (var i = 0; i < pairs.Count; i++)
        {
            var (source, path) = pairs[i];
            var spread = totals[i].Max() / totals[i].Min();
            if (spread > 1.001)
                decisions.Add(new(source.Node.DisplayName(), source.Node.OpType, "equalized", $"with {Readers(path)}: factors of its {source.Channels} channels from {totals[i].Min():G3} to {totals[i].Max():G3}"));
        }

        return decisions.Count > 0 && scaling.Write() is { } written ? new(written, decisions) : new(state, []);
    }

    /// <summary>Linear layers with all the layers that read their channels.</summary>
    public static IEnumerable<(ChannelSource Source, ChannelPath Path)> Pairs(GraphIndex index)
    {
        foreach (var source in ChannelSource.All(index).Where(s => s.IsLinear))
        {
            if (ChannelPath.From(index, source.Value, source.Place, source.Channels, out _) is { } path)
                yield return (source, path);
        }
    }

    /// <summary>The names of a path's readers, for people.</summary>
    public static string Readers(ChannelPath path) => string.Join(", ", path.Readers.Select(r => $"'{r.Node.DisplayName()}'"));

    /// <summary>1/s for each channel, held so that the product with what was done before stays near that of the other channels.</summary>
    private static double[] Factors(double[] first, double[] second, double[] totals)
    {
        // A channel that nobody writes or nobody reads needs no scale.
        bool IsLive(int c) => first[c] > 0 && second[c] > 0;
        var wanted = totals.Select((t, c) => IsLive(c) ? t * Math.Sqrt(second[c] / first[c]) : t).ToArray();
        var live = Enumerable.Range(0, wanted.Length).Where(IsLive).ToList();
        if (live.Count == 0)
            return [.. wanted.Select(_ => 1.0)];
        // What all channels have in common changes nothing for a scale of the tensor, and is not limited.
        var usual = Math.Exp(live.Average(c => Math.Log(wanted[c])));
        return [.. wanted.Select((w, c) => IsLive(c) ? Math.Clamp(w, usual / Limit, usual * Limit) / totals[c] : 1)];
    }
}
