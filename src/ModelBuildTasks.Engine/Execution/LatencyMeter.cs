using System.Diagnostics;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Reporting;

namespace ModelBuildTasks.Engine.Execution;

/// <summary>Times two models against each other on the same inputs, run by run in turn, so that a busy machine slows both.</summary>
internal static class LatencyMeter
{
    private const int WarmUpRuns = 3;
    private const int MinPairs = 30;
    private static readonly TimeSpan s_least = TimeSpan.FromSeconds(0.3);
    private static readonly TimeSpan s_most = TimeSpan.FromSeconds(10);

    /// <summary>Median times of one run of each model, and the median of the ratios compressed/original of neighbouring runs.</summary>
    /// <remarks>At least 30 pairs and 0.3 s; models so slow that this takes more than 10 s are cut off there, after at least one pair.</remarks>
    /// <exception cref="Microsoft.ML.OnnxRuntime.OnnxRuntimeException">A model does not run.</exception>
    public static LatencyReport Measure(string original, string compressed, Batch inputs, int threads, CancellationToken cancellation)
    {
        using var first = new Session(original, new(threads));
        using var second = new Session(compressed, new(threads));
        string[] firstOutputs = [.. first.Outputs.Select(o => o.Name)];
        string[] secondOutputs = [.. second.Outputs.Select(o => o.Name)];
        var start = Stopwatch.GetTimestamp();
        for (var i = 0; i < WarmUpRuns && (i == 0 || Stopwatch.GetElapsedTime(start) < s_most / 2); i++)
        {
            _ = Time(first, firstOutputs, inputs, cancellation);
            _ = Time(second, secondOutputs, inputs, cancellation);
        }

        List<double> before = [], after = [], ratios = [];
        do
        {
            // Who goes first alternates, so that neither always finds the other's data in the caches.
            if (ratios.Count % 2 == 0)
            {
                before.Add(Time(first, firstOutputs, inputs, cancellation));
                after.Add(Time(second, secondOutputs, inputs, cancellation));
            }
            else
            {
                after.Add(Time(second, secondOutputs, inputs, cancellation));
                before.Add(Time(first, firstOutputs, inputs, cancellation));
            }

            ratios.Add(after[^1] / Math.Max(before[^1], 1e-6));
        }
        while (!Enough(Stopwatch.GetElapsedTime(start), ratios.Count));

        return new(Median(before), Median(after), Median(ratios));
    }

    internal static double Median(List<double> values)
    {
        var sorted = values.Order().ToList();
        var middle = sorted.Count / 2;
        return sorted.Count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
    }

    private static bool Enough(TimeSpan elapsed, int pairs) => elapsed >= s_most || (pairs >= MinPairs && elapsed >= s_least);

    private static double Time(Session session, string[] outputs, Batch inputs, CancellationToken cancellation)
    {
        var start = Stopwatch.GetTimestamp();
        session.Run(inputs.Inputs, outputs, static (_, _, _, _) => { }, cancellation);
        return Stopwatch.GetElapsedTime(start).TotalMilliseconds;
    }
}
