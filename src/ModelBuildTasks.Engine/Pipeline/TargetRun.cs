using Microsoft.ML.OnnxRuntime;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Hashing;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Pipeline.DataChecks;
using ModelBuildTasks.Engine.Reporting;
using ModelBuildTasks.Engine.Statistics;
using ModelBuildTasks.Engine.Validation;

namespace ModelBuildTasks.Engine.Pipeline;

/// <summary>Carries out one target: original, passes, file, check, verdict, and only then a rename into place.</summary>
internal sealed class TargetRun
{
    private readonly CompressionRequest _request;
    private readonly TargetPlan _target;
    private readonly Workbench _bench;
    private readonly Action<ProgressEvent>? _progress;
    private readonly CancellationToken _cancellation;
    private TargetReport _report;
    private Func<string> _sha256 = () => "";

    public TargetRun(CompressionRequest request, TargetPlan target, Workbench bench, Action<ProgressEvent>? progress, CancellationToken cancellation)
    {
        _request = request;
        _target = target;
        _bench = bench;
        _progress = progress;
        _cancellation = cancellation;
        _report = new TargetReport { Name = target.Name, Policy = target.Runtime.Name, Model = new(RelativePath(request, target), "", 0), Outcome = "failed", Checked = request.Check };
    }

    private string ArtifactName => _target.Name + ".onnx";

    private string Artifact => Path.GetFullPath(Path.Combine(_request.OutputDirectory, ArtifactName));

    private ValidationPlan? ValidationPlan => _request.Validate && _request.Check ? _target.Validation : null;

    /// <exception cref="OperationCanceledException">Cancelled; nothing was put in place.</exception>
    public TargetResult Run()
    {
        try
        {
            _cancellation.ThrowIfCancellationRequested();
            return Work();
        }
        catch (Exception e) when (_cancellation.IsCancellationRequested)
        {
            throw new OperationCanceledException($"target '{_target.Name}' was cancelled", e, _cancellation);
        }
        catch (Exception e)
        {
            return Fail(Failures.Explain(e, _target));
        }
    }

    private TargetResult Work()
    {
        Say("read", "reading the model", null);
        CheckDestination();
        using var original = Original.Open(_target.ModelPath, _cancellation);
        _report = _report with { Model = _report.Model with { Size = original.Size } };
        original.Model.Payloads.SpillFolder = Path.GetFullPath(_request.OutputDirectory);
        var cache = _request.CacheDirectory is { } directory && _request.Check ? new ArtifactCache(directory) : null;
        if (_request.Report || cache is not null)
        {
            original.BeginHash();
            _sha256 = () => original.Sha256;
        }

        var calibration = _target.Calibration is { } use ? _bench.Open(use, original.Model) : null;
        using var training = TrainingMaterials.Open(_target, original.Model, calibration, _bench);
        var measuring = ValidationPlan is { } plan ? Measuring.Open(_target, plan, original, calibration, _bench) : null;
        using var folder = WorkFolder.Create(_request.OutputDirectory, _target.Name);
        var path = Path.Combine(folder.Path, ArtifactName);

        var key = cache is null ? "" : CacheKey.Of(
            _request, _target, original.Sha256, original.Size, calibration, measuring?.Data, original.Size > _bench.InlineLimit ? ArtifactName : null, training.ContentHash);
        if (cache?.TryGet(key, path, original.Size, _cancellation) is { } entry)
        {
            Say("cache", "taken from the cache", 1);
            return Finish(entry, path, cacheHit: true);
        }

        if (_request.Check)
        {
            Say("check", "loading the original into ONNX Runtime", null);
            original.CheckThatItLoads();
        }

        var context = new PassContext(_target.Runtime, _target.Rules)
        {
            Calibration = calibration is null ? null : OneByOne(original, calibration),
            Statistics = new(_request.Check ? _request.CacheDirectory : null),
            Threads = _request.Threads,
            Encoded = _target.Encoding != PackageEncoding.None,
        };
        var candidate = new CandidateMaker(_target, original, context, _bench, Say, _cancellation)
        {
            Training = training.ByPass,
            Prefix = measuring is null || _target.Passes.Count < 2 ? null
                : part => GateCheck.Judge(_target.Name, _target.Location, measuring.Measure(original, part, _request.Threads, latency: false, Say, _cancellation), []).Report.Metrics,
        }.Make(path);
        _report = _report with { Passes = candidate.Passes, Layers = candidate.Layers };
        if (_request.Check)
            CheckThatItLoads(candidate, original);
        Pack(candidate);
        var measured = measuring?.Measure(original, candidate, _request.Threads, _request.MeasureLatency ? true : null, Say, _cancellation);
        if (_target.OnFailure == OnFailure.Original && measured is not null && Judge(measured)!.Failures is [var first, ..])
        {
            candidate = PutOriginalBack(candidate, original, first);
            Pack(candidate);
        }

        if (_target.OnFailure == OnFailure.Relax && measured is not null && Judge(measured)!.Failures.Count > 0)
        {
            var relaxed = new Relaxation(
                rules => new CandidateMaker(_target, original, context with { Rules = [.. _target.Rules, .. rules] }, _bench, Say, _cancellation) { Training = training.ByPass },
                trial =>
                {
                    Pack(trial);
                    return measuring!.Measure(original, trial, _request.Threads, _request.MeasureLatency ? true : null, Say, _cancellation);
                },
                m => Judge(m)!.Failures, _target.Location).Run(candidate, measured, folder.Path);
            if (relaxed.Candidate is { } kept)
            {
                _report = _report with { Passes = kept.Passes };
                CheckThatItLoads(kept, original);
                (candidate, measured) = (kept, relaxed.Measured);
            }
            else
            {
                return Fail([.. Judge(measured)!.Failures, new(DiagnosticCodes.Relaxed, DiagnosticSeverity.Warning, $"{_target.Name}: {relaxed.Why}", _target.Location)]);
            }
        }

        // Where nobody asks for hashes, a large artifact is not read again for them.
        var hashed = _request.Report || cache is not null;
        var files = ArtifactCache.Describe(candidate.Path, hashed, _cancellation);
        entry = new(
            CacheEntry.CurrentVersion,
            candidate.Files.Count == 1 || !hashed ? files[0].Sha256 : ContentHash.OfFiles(candidate.Files, _cancellation),
            candidate.Size,
            files,
            _report with { Outcome = candidate.Outcome, OutcomeReason = candidate.Reason, Layers = candidate.Layers },
            measured,
            [.. CalibrationNotes(original, calibration, context.Statistics), .. candidate.Notes]);
        var result = Finish(entry, candidate.Path, cacheHit: false);
        if (cache is not null && result.ArtifactPath is { } artifact)
            cache.Put(key, artifact, entry, _cancellation);
        return result;
    }

    // Of a file that cannot be read there is none, and an error that says so.
    private string HashWhereThereIsOne()
    {
        try
        {
            return _sha256();
        }
        catch (Exception e) when (e is ModelBuildException or OperationCanceledException)
        {
            return "";
        }
    }

    /// <summary>Judges, and puts the files in place where the verdict allows it.</summary>
    private TargetResult Finish(CacheEntry entry, string path, bool cacheHit)
    {
        _report = entry.Report with { Name = _report.Name, Policy = _report.Policy, Model = _report.Model, Checked = _report.Checked };
        var diagnostics = entry.Notes.Select(Warning).ToList();
        if (entry.Measured is not null && Judge(entry.Measured) is { } verdict)
        {
            _report = _report with { Validation = verdict.Report };
            // What is relaxed was chosen by the other gates; a clock that fails it fails the target.
            if (verdict.Failures.Count > 0 && _target.OnFailure is (OnFailure.Error or OnFailure.Relax))
                return Fail([.. verdict.Failures, .. diagnostics]);
            diagnostics.AddRange(verdict.Failures.Select(f => f with { Severity = DiagnosticSeverity.Warning }));
            if (verdict.Failures.Count > 0 && _target.OnFailure == OnFailure.Original)
                diagnostics.Add(new(DiagnosticCodes.OriginalKept, DiagnosticSeverity.Warning, $"{_target.Name}: the untouched model is used, because a gate failed", _target.Location));
        }

        if (_report is { Outcome: Relaxation.Outcome, OutcomeReason: { } relaxed })
            diagnostics.Add(new(DiagnosticCodes.Relaxed, DiagnosticSeverity.Warning, $"{_target.Name}: {relaxed}", _target.Location));

        _cancellation.ThrowIfCancellationRequested();
        var hash = _sha256();
        var artifact = Put(path, entry);
        _report = _report with
        {
            Model = _report.Model with { Sha256 = hash },
            Artifact = new(ArtifactName, entry.Sha256, entry.Size, entry.PackedSize),
            Diagnostics = [.. diagnostics.Select(d => d.ToString())],
        };
        Say("done", $"{_report.Outcome}, {GateText.Bytes(_report.Model.Size)} to {GateText.Bytes(entry.Size)}{(entry.PackedSize == entry.Size ? "" : $", {GateText.Bytes(entry.PackedSize)} packed")}", 1);
        return new(_target, artifact, cacheHit, _report, diagnostics);
    }

    private TargetResult Fail(IReadOnlyList<Diagnostic> diagnostics)
    {
        _report = _report with
        {
            Model = _report.Model with { Sha256 = HashWhereThereIsOne() },
            Outcome = "failed",
            OutcomeReason = diagnostics.First(d => d.Severity == DiagnosticSeverity.Error).Message,
            Diagnostics = [.. diagnostics.Select(d => d.ToString())],
        };
        Say("failed", "no artifact", 1);
        return new(_target, null, false, _report, diagnostics);
    }

    private Verdict? Judge(Measurements measured) => ValidationPlan is { } plan ? GateCheck.Judge(_target.Name, _target.Location, measured, plan.Gates) : null;

    private Diagnostic Warning(PassNote note) => new(
        note.Code,
        DiagnosticSeverity.Warning,
        $"{_target.Name}: {note.Message}",
        note.Pass == PassNote.Calibration ? _target.Calibration?.Location ?? _target.Location : _target.Passes[note.Pass].Location);

    /// <summary>
    /// The calibration data in runs of one sample: what a batch costs in memory stays small, and no figure can depend on the split.
    /// A model that runs only on the batches that were asked for gets those.
    /// </summary>
    private IDataset OneByOne(Original original, IDataset asked)
    {
        var use = _target.Calibration!;
        if ((use.Batch ?? use.Dataset.Batch) <= 1)
            return asked;
        var single = _bench.Open(use with { Batch = 1 }, original.Model);
        return original.WhyItDoesNotRun(single, _cancellation) is null ? single : asked;
    }

    private IReadOnlyList<PassNote> CalibrationNotes(Original original, IDataset? calibration, StatisticsStore statistics)
    {
        if (calibration is null || _target.Calibration is not { } use || !_request.Check || _target.Passes.Count == 0)
            return [];
        Say("check", "looking at the calibration data", null);
        return CalibrationCheck.Run(original.Model, use, calibration, statistics.NaN, _cancellation);
    }

    private Candidate PutOriginalBack(Candidate candidate, Original original, Diagnostic failure)
    {
        foreach (var file in candidate.Files)
            File.Delete(file);
        File.Delete(BrotliFile.PathOf(candidate.Path));
        original.CopyTo(candidate.Path, _bench.InlineLimit, _cancellation);
        return candidate with { Outcome = "original", Reason = failure.Message, Layers = Layers.GivenUp(candidate.Layers, "given up: a gate failed") };
    }

    private void CheckThatItLoads(Candidate candidate, Original original)
    {
        Say("check", "reading the artifact back and loading it into ONNX Runtime", null);
        try
        {
            using var model = OnnxModel.Load(candidate.Path);
            using var session = new Session(candidate.Path);
            if (candidate.Outcome is "compressed" or Relaxation.Outcome)
                CheckConformance(model, original.Model);
        }
        catch (OnnxRuntimeException e)
        {
            throw new ModelBuildException(DiagnosticCodes.ArtifactDoesNotRun, $"ONNX Runtime does not load the compressed model of '{_target.Name}': {OnnxRuntimeText.OneLine(e)}", inner: e);
        }
        catch (ModelBuildException e) when (e.First.Code != DiagnosticCodes.DoesNotConform)
        {
            throw new ModelBuildException(DiagnosticCodes.ArtifactDoesNotRun, $"the compressed model of '{_target.Name}' cannot be read back: {e.First.Message}", inner: e);
        }
    }

    /// <summary>What the original had already is not the passes' doing.</summary>
    private void CheckConformance(OnnxModel made, OnnxModel original)
    {
        var violations = Conformance.Check(made, _target.Runtime);
        if (violations.Count == 0)
            return;
        var ours = violations.Except(Conformance.Check(original, _target.Runtime)).ToList();
        if (ours.Count == 0)
            return;
        var more = ours.Count > 1 ? $" (and {ours.Count - 1} more)" : "";
        throw new ModelBuildException(DiagnosticCodes.DoesNotConform, $"the compressed model of '{_target.Name}' is not for {_target.Runtime.Name}: {ours[0].Node}: {ours[0].What}{more}");
    }

    /// <summary>
    /// Refuses what would be found out only when all work is done: a folder in the artifact's place. And an artifact that would
    /// take the place of a model of this plan: the next build would compress the compressed.
    /// </summary>
    private void CheckDestination()
    {
        var comparison = OperatingSystem.IsLinux() ? StringComparison.Ordinal : StringComparison.OrdinalIgnoreCase;
        var artifact = Artifact;
        if (ArtifactCache.Suffixes.FirstOrDefault(s => Directory.Exists(artifact + s)) is { } suffix)
            throw new ModelBuildException(DiagnosticCodes.CannotWrite, $"'{artifact}{suffix}' is a folder, and the artifact of '{_target.Name}' goes there; remove the folder, or choose another output folder or name");
        if (_request.Plan.Targets.Any(t => string.Equals(Path.GetFullPath(t.ModelPath), artifact, comparison)))
            throw new ModelBuildException(DiagnosticCodes.CannotWrite, $"the artifact '{artifact}' would overwrite an original; choose another output folder or name");
    }

    /// <summary>Encodes the artifact where the manifest says so, and reads back what was written.</summary>
    private void Pack(Candidate candidate)
    {
        if (_target.Encoding == PackageEncoding.None)
            return;
        var place = _target.PackageLocation ?? _target.Location;
        if (candidate.Files.Count > 1)
        {
            throw new ModelBuildException(DiagnosticCodes.CannotEncode,
                $"the compressed model of '{_target.Name}' has {candidate.Size:N0} bytes and keeps its tensors in a data file, which a runtime maps as it is and which cannot be encoded; say 'package: {{ as: content, encoding: none }}'", place);
        }

        Say("pack", "compressing the artifact with Brotli", 0);
        BrotliFile.Compress(candidate.Path, done => Say("pack", $"pack {GateText.Percent(done, 0)}", done), _cancellation);
        if (_request.Check && BrotliFile.HashOfContent(BrotliFile.PathOf(candidate.Path), _cancellation) != ContentHash.OfFiles([candidate.Path], _cancellation))
            throw new ModelBuildException(DiagnosticCodes.ArtifactDoesNotRun, $"the compressed model of '{_target.Name}' cannot be decoded as it was encoded", place);
    }

    private string Put(string path, CacheEntry entry)
    {
        var artifact = Artifact;
        var suffixes = entry.Files.Select(f => f.Suffix).ToList();
        // The model file last: what it needs is there before it.
        var files = suffixes.Order(StringComparer.Ordinal).Reverse().Select(s => (path + s, artifact + s)).ToList();
        var obsolete = ArtifactCache.Suffixes.Except(suffixes).Select(s => artifact + s);
        Failures.Writing(artifact, () => Placement.Put(files, obsolete, Path.GetDirectoryName(path)!));
        return artifact;
    }

    private static string RelativePath(CompressionRequest request, TargetPlan target) =>
        Path.GetRelativePath(Path.GetDirectoryName(Path.GetFullPath(request.Plan.ManifestPath))!, target.ModelPath).Replace('\\', '/');

    private void Say(string step, string message, double? fraction) => _progress?.Invoke(new(_target.Name, step, message, fraction));
}
