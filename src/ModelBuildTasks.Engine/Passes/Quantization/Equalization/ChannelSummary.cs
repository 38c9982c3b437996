using ModelBuildTasks.Engine.Statistics;

namespace ModelBuildTasks.Engine.Passes.Quantization.Equalization;

/// <summary>What is known of a value's channels over the calibration data. It follows a repair without new runs: all of it is known of a·x + b, too.</summary>
/// <param name="Min">Least value of each channel.</param>
/// <param name="Max">Greatest value of each channel.</param>
/// <param name="Mean">Mean of each channel.</param>
/// <param name="MeanSquare">Mean square of each channel.</param>
internal sealed record ChannelSummary(double[] Min, double[] Max, double[] Mean, double[] MeanSquare)
{
    /// <summary>Number of channels.</summary>
    public int Channels => Min.Length;

    /// <summary>Greatest magnitude of a channel.</summary>
    public double Magnitude(int channel) => Math.Max(Math.Abs(Min[channel]), Math.Abs(Max[channel]));

    /// <summary>Standard deviation of a channel.</summary>
    public double Deviation(int channel) => Math.Sqrt(Math.Max(0, MeanSquare[channel] - Mean[channel] * Mean[channel]));

    /// <summary>The summary of what was observed; null where channels differ between runs or values are not finite.</summary>
    public static ChannelSummary? Of(TensorStatistics statistics)
    {
        var (means, squares) = (statistics.Channels.Means(), statistics.ChannelRanges.MeanSquares());
        return statistics.HasNonFinite || means.Length == 0 || means.Length != squares.Length ? null : new(
            [.. statistics.ChannelRanges.Min.ToArray().Select(v => (double)v)], [.. statistics.ChannelRanges.Max.ToArray().Select(v => (double)v)], means, squares);
    }

    /// <summary>The summary of the value with its channels multiplied; one positive factor serves as many channels in a row as the value has for each.</summary>
    public ChannelSummary Scaled(IReadOnlyList<double> factors)
    {
        var block = Channels / factors.Count;
        return new(
            [.. Min.Select((v, c) => v * factors[c / block])],
            [.. Max.Select((v, c) => v * factors[c / block])],
            [.. Mean.Select((v, c) => v * factors[c / block])],
            [.. MeanSquare.Select((v, c) => v * factors[c / block] * factors[c / block])]);
    }

    /// <summary>The summary of the value with something taken away from its channels.</summary>
    public ChannelSummary Lowered(IReadOnlyList<double> offsets)
    {
        var block = Channels / offsets.Count;
        double At(int c) => offsets[c / block];
        return new(
            [.. Min.Select((v, c) => v - At(c))],
            [.. Max.Select((v, c) => v - At(c))],
            [.. Mean.Select((v, c) => v - At(c))],
            [.. MeanSquare.Select((v, c) => v - 2 * At(c) * Mean[c] + At(c) * At(c))]);
    }
}
