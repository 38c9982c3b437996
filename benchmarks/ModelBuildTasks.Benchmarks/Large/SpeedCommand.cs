using System.Globalization;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Execution;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Benchmarks.Large;

/// <summary>
/// Compresses one model by <c>modelbuild</c> and by ONNX Runtime's Python tools, both as whole processes on this machine, in turn: seconds, peak
/// memory, bytes, and the latency of the results beside each other.
/// </summary>
internal static class SpeedCommand
{
    private const int Rounds = 5;
    private const int TheirRounds = 2;
    private const int Tokens = 128;

    private static readonly string[] s_jobs = ["int8-dynamic", "float16", "int4", "int4-hqq"];

    /// <param name="tool">Path of the native program, or of modelbuild.dll of a release build.</param>
    /// <param name="model">The model; inside the tree, where Python sees it.</param>
    /// <param name="tree">Root of the tree with the Python tools, as seen from here.</param>
    /// <param name="command">Runs Python on paths of the tree.</param>
    public static int Run(string tool, string model, string tree, IReadOnlyList<string> command)
    {
        var inside = $"/var/tmp/modelbuild-{Path.GetRandomFileName()}";
        var folder = Directory.CreateDirectory(Path.Join(tree, inside)).FullName;
        try
        {
            File.Copy(Path.Combine(AppContext.BaseDirectory, "compress.py"), Path.Combine(folder, "compress.py"));
            // Both find it in the file cache.
            File.Copy(model, Path.Combine(folder, "model.onnx"));
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{Path.GetFileName(model)}, {new FileInfo(model).Length:N0} bytes; {Environment.ProcessorCount} processors; median of {Rounds} runs, of the Python tools {TheirRounds}."));
            Console.WriteLine();
            Console.WriteLine("| job | Python | --no-check | with the load check | with validation | times faster | share of memory | bytes, Python | bytes | latency / Python's result |");
            Console.WriteLine("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
            foreach (var job in s_jobs)
                Console.WriteLine(Row(job, tool, folder, inside, command));
            return 0;
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static string Row(string job, string tool, string folder, string inside, IReadOnlyList<string> command)
    {
        var (theirs, ours) = (Path.Combine(folder, $"theirs-{job}.onnx"), Path.Combine(folder, job));
        var python = Measured.Median(TheirRounds, () => Measured.Run([.. command, $"{inside}/compress.py", job, $"{inside}/model.onnx", $"{inside}/theirs-{job}.onnx"]));
        var manifest = Path.Combine(folder, $"{job}.yaml");
        File.WriteAllText(manifest, $"version: 1\ntargets:\n  - model: model.onnx\n    name: made\n    {(job == "int4-hqq" ? "passes: [quantize: { weights: uint4, method: hqq }]" : $"recipe: {job}")}\n");
        Directory.CreateDirectory(ours);
        var made = Path.Combine(ours, "made.onnx");
        string[] start = job == "int4-hqq" ? [.. Measured.Program(tool), "compress", "--manifest", manifest, "-o", ours] : [.. Measured.Program(tool), "compress", Path.Combine(folder, "model.onnx"), "-o", made, "--recipe", job];
        var rows = new[] { "--no-check", "--no-validate", "" }.Select((option, i) => Measured.Median(i == 0 ? Rounds : 1, () => Measured.Run([.. start, .. option.Length > 0 ? new[] { option } : []]))).ToList();
        string[] cells =
        [
            job, $"{python}", .. rows.Select(r => $"{r}"),
            (python.Seconds / rows[0].Seconds).ToString("F1", CultureInfo.InvariantCulture),
            ((double)rows[0].PeakBytes / python.PeakBytes).ToString("F2", CultureInfo.InvariantCulture),
            new FileInfo(theirs).Length.ToString("N0", CultureInfo.InvariantCulture), new FileInfo(made).Length.ToString("N0", CultureInfo.InvariantCulture),
            Latency(theirs, made).ToString("F2", CultureInfo.InvariantCulture),
        ];
        File.Delete(theirs);
        Directory.Delete(ours, recursive: true);
        return $"| {string.Join(" | ", cells)} |";
    }

    private static double Latency(string theirs, string ours)
    {
        using var session = new Session(ours);
        var inputs = session.Inputs.ToDictionary(i => i.Name, i => Tensor.Of<long>(DataType.Int64, [1, Tokens], [.. Enumerable.Range(1, Tokens).Select(t => (long)t)]));
        session.Dispose();
        return LatencyMeter.Median([.. Enumerable.Range(0, 3).Select(_ => LatencyMeter.Measure(theirs, ours, new(inputs, null, 1), 1, CancellationToken.None).Ratio)]);
    }
}
