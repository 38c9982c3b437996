using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Reporting;
using ModelBuildTasks.Engine.Validation;

namespace ModelBuildTasks.Engine.Pipeline;

/// <summary>Two models to compare.</summary>
/// <param name="Original">File of the original.</param>
/// <param name="Compressed">File of the other model, which has the same inputs and outputs.</param>
public sealed record ComparisonRequest(string Original, string Compressed)
{
    /// <summary>What they run on; null for seeded random inputs.</summary>
    public DatasetUse? Data { get; init; }

    /// <summary>Whether they are timed.</summary>
    public bool MeasureLatency { get; init; }

    /// <summary>Batches at once; the metrics do not depend on it.</summary>
    public int Threads { get; init; } = 1;
}

/// <summary>Measures how far a model differs from its original, without a manifest.</summary>
public static class Comparison
{
    /// <summary>Runs both models on the same data.</summary>
    /// <returns>All metrics that the data allows; <see cref="ValidationReport.Passed"/> is false when the other model gives NaN or infinity where the original gives numbers.</returns>
    /// <exception cref="ModelBuildException">MBT2001-2005: a model is none or does not run. MBT1021, MBT1023: the data does not fit, or is needed.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public static ValidationReport Run(ComparisonRequest request, Action<ProgressEvent>? progress = null, CancellationToken cancellation = default)
    {
        using var original = Original.Open(request.Original, cancellation);
        using var compressed = Original.Open(request.Compressed, cancellation);
        original.CheckThatItLoads();
        var data = request.Data is { } use ? DatasetFactory.Open(use, original.Model) : DatasetFactory.Random(original.Inputs);
        if (request.Data is null && original.WhyItDoesNotRun(data, cancellation) is { } why)
            throw new ModelBuildException(DiagnosticCodes.DataMissing, $"'{request.Original}' does not run on random inputs ({why}); name a dataset");
        var name = Path.GetFileName(request.Compressed);
        var validator = new Validator(request.Original, request.Compressed, new([], request.Threads)
        {
            NextToken = true,
            Latency = request.MeasureLatency,
            Progress = done => progress?.Invoke(new(name, "validate", $"validate on {data.Description} {GateText.Percent(done, 0)}", done)),
        });
        var measured = validator.Measure(data, cancellation) with { OriginalBytes = original.Size, ArtifactBytes = compressed.Size };
        if (request.MeasureLatency)
            measured = measured with { Latency = validator.MeasureLatency(data, cancellation) };
        return GateCheck.Judge(name, null, measured, []).Report;
    }
}
