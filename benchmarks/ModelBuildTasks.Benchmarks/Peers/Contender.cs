using System.Globalization;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Validation;

namespace ModelBuildTasks.Benchmarks.Peers;

/// <summary>A compressed model and what was measured of it against the original.</summary>
/// <param name="Name">Who made it.</param>
/// <param name="Path">The file; null when there is none.</param>
/// <param name="Seconds">Time to make it.</param>
internal sealed record Contender(string Name, string? Path, double Seconds)
{
    private const int LatencyRounds = 3;

    /// <summary>Why it is out of the race, or null.</summary>
    public string? Failure { get; init; }

    public long Bytes { get; init; }

    public Quality Quality { get; init; }

    /// <summary>Compressed/original.</summary>
    public double Latency { get; init; }

    /// <summary>Runs every contender on the same data as the original, and then times them.</summary>
    public static IReadOnlyList<Contender> Measure(IReadOnlyList<Contender> contenders, string original, IDataset data, ValidationPlan plan)
    {
        var measured = contenders.Select(c => c.Measure(original, data, plan)).ToList();
        var ratios = measured.ToDictionary(c => c.Name, _ => new List<double>());
        var batch = data.Batches().First();

        // Rounds: what else runs on the machine for a while does not hit one contender alone.
        for (var round = 0; round < LatencyRounds; round++)
        {
            foreach (var contender in measured.Where(c => c.Failure is null))
                ratios[contender.Name].Add(LatencyMeter.Measure(original, contender.Path!, batch, 1, CancellationToken.None).Ratio);
        }

        return measured.ConvertAll(c => c.Failure is null ? c with { Latency = LatencyMeter.Median(ratios[c.Name]) } : c);
    }

    public override string ToString() => Failure ?? string.Create(CultureInfo.InvariantCulture, $"{Bytes:N0} B, {Quality}, {Latency:F2}, {Seconds:F0} s");

    private Contender Measure(string original, IDataset data, ValidationPlan plan)
    {
        if (Path is null || Failure is not null)
            return this with { Failure = Failure ?? "fails" };
        try
        {
            var found = new Validator(original, Path, new(plan.Gates, Environment.ProcessorCount)).Measure(data, CancellationToken.None);
            return this with
            {
                Bytes = new FileInfo(Path).Length,
                Quality = Quality.Of(found, plan),
                Failure = found.NonFinite > 0 ? "fails: gives NaN or infinity"
                    : found.Sqnr < 0 ? string.Create(CultureInfo.InvariantCulture, $"fails: more noise than signal ({found.Sqnr:F1} dB)") : null,
            };
        }
        catch (ModelBuildException e)
        {
            return this with { Failure = $"fails: {e.First.Message}" };
        }
    }
}
