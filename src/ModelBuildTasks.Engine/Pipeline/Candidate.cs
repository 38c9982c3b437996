using System.Diagnostics;
using Microsoft.ML.OnnxRuntime;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Passes.Pruning;
using ModelBuildTasks.Engine.Passes.Quantization.Storage;
using ModelBuildTasks.Engine.Passes.Storage;
using ModelBuildTasks.Engine.Reporting;
using ModelBuildTasks.Engine.Validation;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Pipeline;

/// <summary>A written file that may become the artifact.</summary>
internal sealed record Candidate
{
    /// <summary>The file, in a temporary folder.</summary>
    public required string Path { get; init; }

    /// <summary>"compressed", "relaxed" or "original".</summary>
    public required string Outcome { get; init; }

    /// <summary>Why it is not what the passes made.</summary>
    public string? Reason { get; init; }

    public IReadOnlyList<PassReport> Passes { get; init; } = [];

    public IReadOnlyList<LayerReport> Layers { get; init; } = [];

    public IReadOnlyList<PassNote> Notes { get; init; } = [];

    /// <summary>What quantization did, node by node, where the passes' result was kept.</summary>
    public IReadOnlyList<Decision> Quantized { get; init; } = [];

    /// <summary>Bytes before encoding, with the data file of a model beyond protobuf's limit.</summary>
    public long Size => Files.Sum(f => new FileInfo(f).Length);

    /// <summary>The model file, and its data file where there is one.</summary>
    public IReadOnlyList<string> Files => File.Exists(DataPath(Path)) ? [Path, DataPath(Path)] : [Path];

    /// <summary>Bytes that the app is to carry: those of the encoded file where there is one.</summary>
    public long PackedSize => File.Exists(BrotliFile.PathOf(Path)) ? new FileInfo(BrotliFile.PathOf(Path)).Length : Size;

    public static string DataPath(string path) => path + ".data";
}

/// <summary>Runs the passes and keeps the smallest of what they made, clean-up alone, and the original.</summary>
internal sealed class CandidateMaker(TargetPlan target, Original original, PassContext context, Workbench bench, Action<string, string, double?> say, CancellationToken cancellation)
{
    private readonly List<PassReport> _reports = [];

    /// <summary>For each pass what it trains on, or null.</summary>
    public IReadOnlyList<TrainingMaterial?> Training { get; init; } = [];

    /// <summary>Measures a written model in the middle of a chain; null for chains whose parts are not looked at.</summary>
    public Func<Candidate, IReadOnlyList<MetricReport>>? Prefix { get; init; }

    /// <exception cref="ModelBuildException">A pass failed, or the file cannot be written.</exception>
    public Candidate Make(string path)
    {
        var cleaned = Run("clean-up", original.Model, bench.CleanUp);
        var results = new List<PassResult> { cleaned };
        var prunes = target.Passes.Any(p => p is PrunePlan or DistillPlan { Prune: not null });
        if (prunes)
            Count(cleaned.Model);
        for (var i = 0; i < target.Passes.Count; i++)
        {
            var pass = target.Passes[i];
            var material = Training.ElementAtOrDefault(i);
            results.Add(Run(pass.Name, results[^1].Model, (model, c) => bench.Apply(model, pass, material?.Give(c, cleaned.Model, bench) ?? c)));
            // What quantized weights are is told by bytes alone.
            if (prunes && target.Passes.Take(i + 1).All(p => p is PrunePlan))
                Count(results[^1].Model);
            if (prunes && i < target.Passes.Count - 1 && Prefix is not null)
                Measure(results[^1].Model, path);
        }

        say("write", "writing the model", null);
        var layers = Layers.Merge(results);
        var made = new Candidate { Path = path, Outcome = "compressed", Passes = _reports, Layers = layers, Notes = Notes(results) };
        Save(results[^1].Model, path);
        made = made with { Notes = [.. made.Notes, .. CheckZeros(results, path)] };
        if (IsSmaller(made))
            return made with { Quantized = [.. target.Passes.SelectMany((pass, i) => pass is QuantizePlan ? results[i + 1].Decisions : []).Where(d => d.What != Layers.Left)] };

        var why = $"what the passes made has {made.Size} bytes, and the original has {original.Size}";
        if (target.Passes.Count > 0)
        {
            Discard(made);
            Save(cleaned.Model, path);
            if (made.Size < original.Size)
                return made with { Reason = $"{why}; clean-up alone is smaller ({made.Size} bytes) and is kept", Layers = Layers.GivenUp(layers, "given up: the result was not smaller") };
        }

        Discard(made);
        original.CopyTo(path, bench.InlineLimit, cancellation);
        return made with { Outcome = "original", Reason = why, Layers = Layers.GivenUp(layers, "given up: the result was not smaller") };
    }

    private void Count(OnnxModel model) => _reports[^1] = _reports[^1] with { Cost = PassCosts.Of(model, context) };

    /// <summary>Writes a model. Clean-up computes the head of a tied embedding ahead, so that passes see its values; the file has them once.</summary>
    private void Save(OnnxModel model, string path)
    {
        if (context.Runtime.Formats.FoldsConstants)
        {
            model = model.Clone();
            TransposedTwins.Merge(model, DataType.Float, DataType.Float16);
        }

        ModelWriter.Save(model, path, bench.InlineLimit);
    }

    private void Measure(OnnxModel model, string path)
    {
        var prefix = new Candidate { Path = path, Outcome = "compressed" };
        Save(model, path);
        try
        {
            _reports[^1] = _reports[^1] with { Metrics = Prefix!(prefix) };
        }
        finally
        {
            Discard(prefix);
        }
    }

    /// <summary>Whether a result is smaller than the original where it counts: in the file, or behind the package's encoder.</summary>
    private bool IsSmaller(Candidate made)
    {
        // Far smaller files are smaller behind an encoder, too, and data files are not encoded.
        if (target.Encoding == PackageEncoding.None || made.Files.Count > 1 || made.Size < 0.75 * original.Size || made.Size > int.MaxValue || original.Files.Count > 1 || original.Size > int.MaxValue)
            return made.Size < original.Size;
        return EncodedSize.Of(File.ReadAllBytes(made.Path)) < EncodedSize.Of(File.ReadAllBytes(original.Files[0]));
    }

    /// <summary>Compares the zeros of pruned weights with the file: those of each pass whose weights are still there in their shape.</summary>
    /// <exception cref="ModelBuildException">MBT2050: some are lost.</exception>
    private List<PassNote> CheckZeros(List<PassResult> results, string path)
    {
        var notes = new List<PassNote>();
        OnnxModel? written = null;
        try
        {
            var (last, reshaped) = (true, false);
            for (var i = target.Passes.Count - 1; i >= 0; i--)
            {
                var pass = target.Passes[i];
                if (pass is PrunePlan { RemovesShape: false } or DistillPlan { Prune: not null } && !Layers.DidNothing(results[i + 1]))
                {
                    var verdict = MaskCheck.Compare(results[i + 1].Model, written ??= OnnxModel.Load(path), target.Rules);
                    MaskCheck.Require(verdict, pass.Location);
                    var unknown = verdict.Unknown.Distinct().ToList();
                    // What an earlier pass made zero is among what the last one left.
                    if (last && unknown.Count > 0)
                        notes.Add(new(i, $"the zeros of {string.Join(", ", unknown.Take(3).Select(n => $"'{n}'"))}{(unknown.Count > 3 ? " and others" : "")} could not be compared: the weights are not found again in the finished model", DiagnosticCodes.ZerosNotCompared));
                    last = false;
                }

                // Another model has nothing to be compared with, and nor have weights of another shape; of the last pass the note says so.
                reshaped |= pass is PrunePlan { RemovesShape: true };
                if (pass is DistillPlan { Student: not null } || (reshaped && !last))
                    break;
            }
        }
        finally
        {
            written?.Dispose();
        }

        return notes;
    }

    private static void Discard(Candidate candidate)
    {
        foreach (var file in candidate.Files)
            File.Delete(file);
    }

    private PassResult Run(string name, OnnxModel model, Func<OnnxModel, PassContext, PassResult> pass)
    {
        cancellation.ThrowIfCancellationRequested();
        say(name, $"{name}...", 0);
        var start = Stopwatch.GetTimestamp();
        try
        {
            var result = pass(model, context with { Progress = done => Report(name, done), ProgressText = (text, done) => Report(name, done, text), Cancellation = cancellation });
            _reports.Add(new(name, Math.Round(Stopwatch.GetElapsedTime(start).TotalSeconds, 3), result.Summary));
            say(name, result.Summary, 1);
            return result;
        }
        catch (Exception e) when (Cause(e) is { } cause)
        {
            // A pass runs the model to observe it. When the original does not run on this data either, the fault is there.
            if (context.Calibration is { } data && original.WhyItDoesNotRun(data, cancellation) is { } why)
                throw new ModelBuildException(DiagnosticCodes.OriginalDoesNotRun, $"ONNX Runtime does not run the model on '{data.Description}': {why}", inner: e);
            throw new InvalidOperationException($"ONNX Runtime failed in the pass '{name}': {OnnxRuntimeText.OneLine(cause)}", e);
        }
    }

    private static OnnxRuntimeException? Cause(Exception e) => e switch
    {
        OnnxRuntimeException o => o,
        AggregateException a => a.Flatten().InnerExceptions.OfType<OnnxRuntimeException>().FirstOrDefault(),
        _ => null,
    };

    private void Report(string name, double done, string? text = null)
    {
        cancellation.ThrowIfCancellationRequested();
        say(name, $"{name} {GateText.Percent(done, 0)}{(text is null ? "" : $": {text}")}", done);
    }

    /// <summary>The passes of the plan (behind clean-up) that changed nothing.</summary>
    private List<PassNote> Notes(List<PassResult> results)
    {
        var notes = new List<PassNote>();
        for (var i = 0; i < target.Passes.Count; i++)
        {
            var result = results[i + 1];
            notes.AddRange(result.Warnings.Select(w => new PassNote(i, w.Message, w.Code)));
            if (Layers.DidNothing(result))
                notes.Add(new(i, $"{target.Passes[i].Name} could do nothing with this model: {Layers.MainReason(result) ?? "it has no operator with weights that the pass knows"}", DiagnosticCodes.NothingDone));
        }

        return notes;
    }
}
