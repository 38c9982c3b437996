using Microsoft.ML.OnnxRuntime;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Manifest;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Validation;

/// <summary>What to measure besides what is always measured.</summary>
/// <param name="Gates">Limits, which decide what must be measurable; their values do not matter here.</param>
/// <param name="Threads">Batches at once; the result does not depend on it.</param>
internal sealed record ValidationSettings(IReadOnlyList<GatePlan> Gates, int Threads = 1)
{
    /// <summary>Whether the likelihood of next tokens is measured where it can be, without a gate.</summary>
    public bool NextToken { get; init; }

    /// <summary>Whether latency is measured without a gate.</summary>
    public bool Latency { get; init; }

    /// <summary>Told about the share of samples done.</summary>
    public Action<double>? Progress { get; init; }
}

/// <summary>Runs the original and the artifact on the same data and measures how far they differ.</summary>
internal sealed class Validator(string originalPath, string artifactPath, ValidationSettings settings)
{
    private readonly int[] _tops = [.. settings.Gates.Where(g => g.Metric == Metric.Accuracy).Select(g => g.Top).Append(1).Distinct().Order()];

    /// <summary>Runs both models on all the data.</summary>
    /// <exception cref="ModelBuildException">MBT2004, MBT2005: a model does not run, or the artifact has other outputs. MBT1021, MBT1023: a gate's metric cannot be computed on this data.</exception>
    public Measurements Measure(IDataset data, CancellationToken cancellation)
    {
        using var original = Load(originalPath, DiagnosticCodes.OriginalDoesNotRun, "the original");
        using var artifact = Load(artifactPath, DiagnosticCodes.ArtifactDoesNotRun, "the compressed model");
        string[] names = [.. original.Outputs.Select(o => o.Name)];
        if (names.Except(artifact.Outputs.Select(o => o.Name)).FirstOrDefault() is { } missing)
            throw new ModelBuildException(DiagnosticCodes.ArtifactDoesNotRun, $"the compressed model has no output '{missing}', which the original has");
        // Each model hears its own echo.
        var (first, second) = (new SequenceRunner(original, data.Feedback), new SequenceRunner(artifact, data.Feedback));
        var scorer = new BatchScorer(_tops, Gate(Metric.Agreement) is not null, settings.NextToken || Gate(Metric.Nll) is not null);
        var total = new Tally(_tops.Length);
        foreach (var part in InOrder(data, batch => Score(batch, first, second, names, scorer, cancellation)))
        {
            total.Add(part);
            RefuseWhatCannotBeMeasured(total, data.HasLabels);
            settings.Progress?.Invoke(data.Count > 0 ? Math.Min(1, (double)total.Samples / data.Count) : 1);
        }

        if (total.Samples == 0)
            throw new ModelBuildException(DiagnosticCodes.DatasetEmpty, $"the validation data '{data.Description}' has no samples");
        return Summarize(total, data);
    }

    /// <summary>Times both models on the data's first batch, for every thread count that a gate names.</summary>
    /// <exception cref="ModelBuildException">MBT2005: a model does not run.</exception>
    public SortedDictionary<int, Reporting.LatencyReport> MeasureLatency(IDataset data, CancellationToken cancellation)
    {
        var result = new SortedDictionary<int, Reporting.LatencyReport>();
        var threads = settings.Gates.Where(g => g.Metric == Metric.Latency).Select(g => g.Threads).ToList();
        if (settings.Latency && threads.Count == 0)
            threads.Add(1);
        if (threads.Count == 0 || data.Batches().FirstOrDefault() is not { } batch)
            return result;
        try
        {
            foreach (var count in threads.Distinct())
                result[count] = LatencyMeter.Measure(originalPath, artifactPath, batch, count, cancellation);
        }
        catch (OnnxRuntimeException e)
        {
            throw new ModelBuildException(DiagnosticCodes.ArtifactDoesNotRun, $"ONNX Runtime failed while the models were timed: {OnnxRuntimeText.OneLine(e)}", inner: e);
        }

        return result;
    }

    private static Session Load(string path, string code, string what)
    {
        try
        {
            return new Session(path);
        }
        catch (OnnxRuntimeException e)
        {
            throw new ModelBuildException(code, $"ONNX Runtime does not load {what}: {OnnxRuntimeText.OneLine(e)}", inner: e);
        }
    }

    private static Tally Score(Batch batch, SequenceRunner original, SequenceRunner artifact, string[] names, BatchScorer scorer, CancellationToken cancellation)
    {
        var reference = Run(original, batch, names, DiagnosticCodes.OriginalDoesNotRun, "the original", cancellation);
        var compressed = Run(artifact, batch, names, DiagnosticCodes.ArtifactDoesNotRun, "the compressed model", cancellation);
        var outputs = new List<(string, Tensor, Tensor)>();
        foreach (var name in names)
        {
            if (!reference.TryGetValue(name, out var r))
                continue;
            if (!compressed.TryGetValue(name, out var c) || c.Type != r.Type || !c.Shape.AsSpan().SequenceEqual(r.Shape))
                throw new ModelBuildException(DiagnosticCodes.ArtifactDoesNotRun, $"the compressed model's output '{name}' has another type or shape than the original's {Onnx.ElementTypes.Name(r.Type)} [{string.Join(", ", r.Shape)}]");
            outputs.Add((name, r, c));
        }

        return scorer.Score(batch, outputs);
    }

    private static IReadOnlyDictionary<string, Tensor> Run(SequenceRunner model, Batch batch, string[] names, string code, string what, CancellationToken cancellation)
    {
        try
        {
            return model.Run(batch, names, cancellation);
        }
        catch (OnnxRuntimeException e)
        {
            throw new ModelBuildException(code, $"ONNX Runtime does not run {what}: {OnnxRuntimeText.OneLine(e)}", inner: e);
        }
    }

    private GatePlan? Gate(Metric metric) => settings.Gates.FirstOrDefault(g => g.Metric == metric);

    private void RefuseWhatCannotBeMeasured(Tally tally, bool hasLabels)
    {
        if ((Gate(Metric.Accuracy) ?? (hasLabels ? Gate(Metric.Nll) : null)) is { } labelled && tally.LabelProblem is { } label)
            throw new ModelBuildException(DiagnosticCodes.DatasetDoesNotFit, label, labelled.Location);
        if (!hasLabels && Gate(Metric.Nll) is { } nll && tally.TokenProblem is { } token)
            throw new ModelBuildException(DiagnosticCodes.DataMissing, $"nll cannot be measured: {token}", nll.Location);
        if (Gate(Metric.Agreement) is { } agreement && tally.AgreementProblem is { } classes)
            throw new ModelBuildException(DiagnosticCodes.DataMissing, $"agreement cannot be measured: {classes}", agreement.Location);
        var pooled = settings.Gates.FirstOrDefault(g => g.Metric is Metric.Sqnr or Metric.Cosine or Metric.Mse);
        if (pooled is not null && tally.Samples > 0 && tally.Values + tally.NonFinite == 0)
            throw new ModelBuildException(DiagnosticCodes.DataMissing, $"{GateText.Name(pooled)} cannot be measured: the model gives no float numbers", pooled.Location);
    }

    private Measurements Summarize(Tally total, IDataset data)
    {
        var accuracy = new SortedDictionary<int, Pair>();
        if (total.Labels > 0 && total.LabelProblem is null)
        {
            for (var i = 0; i < _tops.Length; i++)
                accuracy[_tops[i]] = new((double)total.ReferenceHits[i] / total.Labels, (double)total.CompressedHits[i] / total.Labels);
        }

        var problem = data.HasLabels ? total.LabelProblem : total.TokenProblem;
        var nll = total.Likelihoods > 0 && problem is null ? new Pair(total.ReferenceNll / total.Likelihoods, total.CompressedNll / total.Likelihoods) : null;
        return new Measurements
        {
            Data = data.Description,
            Samples = total.Samples,
            Values = total.Values + total.NonFinite,
            NonFinite = total.NonFinite,
            Sqnr = total.Values > 0 ? total.Sqnr : null,
            Cosine = total.Values > 0 ? total.Cosine : null,
            Mse = total.Values > 0 && double.IsFinite(total.Mse) ? total.Mse : null,
            Agreement = total.Decisions > 0 && total.AgreementProblem is null ? (double)total.Agreed / total.Decisions : null,
            Accuracy = accuracy,
            Nll = nll is { Reference: var r, Compressed: var c } && double.IsFinite(r) && double.IsFinite(c) ? nll : null,
        };
    }

    /// <summary>Works on several batches at once and gives the results in the batches' order. Where a run needs the one before, they are made one by one.</summary>
    private IEnumerable<Tally> InOrder(IDataset data, Func<Batch, Tally> work)
    {
        var batches = data.Batches();
        if (settings.Threads <= 1 || data.Feedback.Count > 0)
        {
            foreach (var batch in batches)
                yield return work(batch);
            yield break;
        }

        var running = new Queue<Task<Tally>>();
        try
        {
            foreach (var batch in batches)
            {
                running.Enqueue(Task.Run(() => work(batch)));
                if (running.Count >= settings.Threads)
                    yield return running.Dequeue().GetAwaiter().GetResult();
            }

            while (running.TryDequeue(out var task))
                yield return task.GetAwaiter().GetResult();
        }
        finally
        {
            // The sessions are closed behind us: nobody may be running in them then.
            foreach (var task in running)
                ((IAsyncResult)task).AsyncWaitHandle.WaitOne();
        }
    }
}
