using System.Diagnostics;
using System.Globalization;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Pipeline;

namespace ModelBuildTasks.Benchmarks.Peers;

/// <summary>
/// Puts the artifacts of <c>models.yaml</c> beside what ONNX Runtime's Python quantizer makes of the same models on the same calibration
/// data: all are measured by the same code, on the same validation data, against the same original.
/// </summary>
internal static class CompareCommand
{
    /// <param name="manifest">The targets.</param>
    /// <param name="tree">Root of the tree with the Python tools, as seen from here.</param>
    /// <param name="target">Only this target; null for all.</param>
    /// <param name="command">Runs Python on paths of the tree.</param>
    public static int Run(string manifest, string tree, string? target, IReadOnlyList<string> command)
    {
        var plan = ManifestReader.Read(manifest);
        using var python = new PythonTree(tree, command);
        Console.WriteLine("Cells: bytes, quality, latency (compressed / original), seconds to make it. Quality: agreement for classifiers, NLL for language models, SQNR else.");
        Console.WriteLine();
        Console.WriteLine($"| model | original | ours | Python, best of each column | as good as the best by quality, at no more bytes and latency | beaten in all by | {string.Join(" | ", PythonSetting.Names)} |");
        Console.WriteLine("|---|---:|---|---|---|---|---|---|---|---|---|");
        foreach (var wanted in plan.Targets.Where(t => target is null || t.Name == target))
            Console.WriteLine(Row(wanted, plan, Path.Combine(Path.GetDirectoryName(manifest)!, "out"), python));
        return 0;
    }

    private static string Row(TargetPlan target, Plan plan, string output, PythonTree python)
    {
        using var original = OnnxModel.Load(target.ModelPath);
        var validation = target.Validation!;
        var theirs = Theirs(target, DatasetFactory.Open(target.Calibration!, original), python);
        var all = Contender.Measure([Ours(target, plan, output), .. theirs], target.ModelPath, DatasetFactory.Open(validation.Data!, original), validation);
        var (ours, others) = (all[0], all.Skip(1).ToList());
        string[] cells = [target.Name, new FileInfo(target.ModelPath).Length.ToString("N0", CultureInfo.InvariantCulture), $"{ours}", Best(others), Verdict.Of(ours, others), Verdict.BeatenBy(ours, others), .. others.Select(o => $"{o}")];
        return $"| {string.Join(" | ", cells.Select(c => c.Replace('|', '/')))} |";
    }

    private static Contender Ours(TargetPlan target, Plan plan, string output)
    {
        var start = Stopwatch.GetTimestamp();
        var request = new CompressionRequest(plan, output) { Threads = Environment.ProcessorCount, Target = target.Name, Validate = false };
        var result = Compressor.Run(request).Targets[0];
        return new("ours", result.ArtifactPath, Stopwatch.GetElapsedTime(start).TotalSeconds) { Failure = result.ArtifactPath is null ? $"fails: {result.Report.OutcomeReason}" : null };
    }

    private static IEnumerable<Contender> Theirs(TargetPlan target, IDataset calibration, PythonTree python)
    {
        var model = $"{target.Name}.onnx";
        File.Copy(target.ModelPath, Path.Combine(python.Folder, model));
        var runs = Path.Combine(python.Folder, target.Name);
        var names = CalibrationRuns.Write(target.ModelPath, calibration, runs);
        PythonOutcome outcome;
        try
        {
            outcome = python.Run(new(model, [.. names.Select(n => $"{target.Name}/{n}")], $"{target.Name}-made"));
        }
        catch (InvalidOperationException e)
        {
            outcome = new([], [.. PythonSetting.Names.Select(s => new PythonSetting(s, null, e.Message, 0, 0))]);
        }

        Directory.Delete(runs, recursive: true);
        foreach (var note in outcome.Notes)
            Console.Error.WriteLine($"{target.Name}: {note}");
        foreach (var setting in outcome.Settings.Where(s => s.Samples > 0 && s.Samples < names.Count))
            Console.Error.WriteLine($"{target.Name}: {setting.Name} was given {setting.Samples} of {names.Count} runs, for it keeps all activations");
        return outcome.Settings.Select(s => new Contender(s.Name, s.File is null ? null : Path.Combine(python.Folder, s.File), s.Seconds) { Failure = s.Error is null ? null : $"fails: {s.Error}" });
    }

    private static string Best(IReadOnlyList<Contender> others)
    {
        var made = others.Where(o => o.Failure is null).ToList();
        return made.Count == 0
            ? "fails"
            : string.Create(CultureInfo.InvariantCulture, $"{made.Min(o => o.Bytes):N0} B, {made.MaxBy(o => o.Quality.Rank)!.Quality}, {made.Min(o => o.Latency):F2}, {made.Min(o => o.Seconds):F0} s");
    }
}
