using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Validation;

namespace ModelBuildTasks.Engine.Pipeline;

/// <summary>The data that a target is validated on, and the measuring itself.</summary>
internal sealed class Measuring
{
    private readonly ValidationPlan _plan;
    private readonly bool _random;
    private string? _whyNot;

    private Measuring(ValidationPlan plan, IDataset? data, bool random, string? whyNot)
    {
        _plan = plan;
        Data = data;
        _random = random;
        _whyNot = whyNot;
    }

    /// <summary>What to run on; null when there is nothing.</summary>
    public IDataset? Data { get; }

    /// <summary>The data of <c>validate</c>, else the calibration data, else seeded random inputs.</summary>
    /// <exception cref="ModelBuildException">The data does not fit the model, or a gate needs labels that it has not.</exception>
    public static Measuring Open(TargetPlan target, ValidationPlan plan, Original original, IDataset? calibration, Workbench bench)
    {
        Measuring measuring;
        if (plan.Data is { } use)
        {
            measuring = new(plan, bench.Open(use, original.Model), false, null);
        }
        else if (calibration is not null)
        {
            measuring = new(plan, calibration, false, null);
        }
        else
        {
            try
            {
                measuring = new(plan, bench.Random(original.Inputs), true, null);
            }
            catch (ModelBuildException e)
            {
                measuring = new(plan, null, true, e.First.Message);
            }
        }

        var accuracy = plan.Gates.FirstOrDefault(g => g.Metric == Metric.Accuracy);
        if (accuracy is not null && measuring.Data is not { HasLabels: true })
        {
            var has = measuring._random ? $"target '{target.Name}' has no dataset" : $"'{measuring.Data!.Description}' has none";
            throw new ModelBuildException(DiagnosticCodes.DataMissing, $"accuracy needs labels, and {has}", accuracy.Location);
        }

        return measuring;
    }

    /// <summary>Runs both models. Without data that runs there are only the sizes, unless a gate asks for more.</summary>
    /// <param name="original">The original.</param>
    /// <param name="candidate">The written file.</param>
    /// <param name="threads">Threads of a run for metrics.</param>
    /// <param name="latency">Whether models are timed; null where a gate asks for it.</param>
    /// <param name="say">Told what is done.</param>
    /// <param name="cancellation">Stops it.</param>
    /// <exception cref="ModelBuildException">MBT2004, MBT2005: a model does not run; MBT1021, MBT1023: a gate cannot be measured on this data.</exception>
    public Measurements Measure(Original original, Candidate candidate, int threads, bool? latency, Action<string, string, double?> say, CancellationToken cancellation)
    {
        Measurements measured;
        if (Data is not null && _random)
            _whyNot = WhyRandomDoesNotRun(original, Data, cancellation);
        if (_whyNot is not null)
        {
            if (_plan.Gates.FirstOrDefault(g => g.Metric != Metric.Size) is { } gate)
                throw new ModelBuildException(DiagnosticCodes.DataMissing, $"{GateText.Name(gate)} needs data: the model does not run on random inputs ({_whyNot}); name a dataset under 'validate: data' or 'calibration'", gate.Location);
            measured = new() { Data = $"none: the model does not run on random inputs ({_whyNot})" };
        }
        else
        {
            var validator = new Validator(original.Files[0], candidate.Path, new(_plan.Gates, threads)
            {
                Latency = latency == true,
                Progress = done => say("validate", $"validate on {Data!.Description} {GateText.Percent(done, 0)}", done),
            });
            measured = validator.Measure(Data!, cancellation);
            if (latency ?? _plan.Gates.Any(g => g.Metric == Metric.Latency))
            {
                say("latency", "timing both models in turn", null);
                measured = measured with { Latency = validator.MeasureLatency(Data!, cancellation) };
            }
        }

        return measured with { OriginalBytes = original.Size, ArtifactBytes = candidate.PackedSize };
    }

    private static string? WhyRandomDoesNotRun(Original original, IDataset data, CancellationToken cancellation)
    {
        try
        {
            return original.WhyItDoesNotRun(data, cancellation);
        }
        catch (ModelBuildException e)
        {
            return e.First.Message;
        }
    }
}
