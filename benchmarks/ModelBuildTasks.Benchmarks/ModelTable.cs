using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Pipeline;
using ModelBuildTasks.Engine.Reporting;

namespace ModelBuildTasks.Benchmarks;

/// <summary>Runs <c>models.yaml</c> on a folder of models and data and prints one row a model: bytes, metrics, latency.</summary>
internal static class ModelTable
{
    public static int Write(string dataFolder, string? target) => WithManifest(dataFolder, manifest =>
    {
        var request = new CompressionRequest(ManifestReader.Read(manifest), Path.Combine(Path.GetDirectoryName(manifest)!, "out"))
        {
            Threads = Environment.ProcessorCount,
            Target = target,
            MeasureLatency = true,
        };
        var result = Compressor.Run(request, (_) => { }, CancellationToken.None);
        Print(result);
        return result.Succeeded ? 0 : 1;
    });

    /// <summary>Gives <c>models.yaml</c>, with the data folder in its place, to <paramref name="action"/>.</summary>
    public static int WithManifest(string dataFolder, Func<string, int> action) => WithManifest(dataFolder, text => text, action);

    /// <summary>The same with a change of the text.</summary>
    public static int WithManifest(string dataFolder, Func<string, string> edit, Func<string, int> action)
    {
        var folder = Directory.CreateTempSubdirectory("modelbuild-benchmark-");
        try
        {
            var manifest = Path.Combine(folder.FullName, "models.yaml");
            var text = File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "models.yaml"));
            File.WriteAllText(manifest, edit(text.Replace("DATA/", Path.GetFullPath(dataFolder) + "/", StringComparison.Ordinal)));
            return action(manifest);
        }
        catch (ModelBuildException e)
        {
            Console.Error.WriteLine(e.Message);
            return 1;
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    private static void Print(CompressionResult result)
    {
        Console.WriteLine("| model | original | artifact | share | accuracy | agreement | SQNR | NLL | latency | weighted operators |");
        Console.WriteLine("|---|---:|---:|---:|---|---:|---:|---|---:|---|");
        foreach (var target in result.Targets)
        {
            var report = target.Report;
            if (report.Artifact is null)
            {
                Console.WriteLine($"| {report.Name} | {report.Model.Size:N0} | failed: {string.Join("; ", target.Diagnostics)} |");
                continue;
            }

            var share = (double)report.Artifact.Size / report.Model.Size;
            Console.WriteLine($"| {report.Name} | {report.Model.Size:N0} | {report.Artifact.Size:N0} | {share:P1} | {Pair(report, "accuracy", "P2")} | {One(report, "agreement", "P2")} "
                + $"| {One(report, "sqnr", "F1")} | {Pair(report, "nll", "F4")} | {report.Validation?.Latency?.Ratio:F2} | {Layers(report)} |");
            foreach (var line in target.Diagnostics)
                Console.Error.WriteLine(line);
        }
    }

    private static string Layers(TargetReport report) => report.Outcome == "original"
        ? $"original kept: {report.OutcomeReason}"
        : string.Join(", ", report.Layers.GroupBy(l => l.Decision).OrderByDescending(g => g.Count()).Select(g => $"{g.Count()} {g.Key}"));

    private static string One(TargetReport report, string name, string format) => Find(report, name)?.Compressed.ToString(format) ?? "";

    private static string Pair(TargetReport report, string name, string format) => Find(report, name) is { } metric
        ? $"{metric.Reference?.ToString(format)} -> {metric.Compressed.ToString(format)}"
        : "";

    private static MetricReport? Find(TargetReport report, string name) => report.Validation?.Metrics.FirstOrDefault(m => m.Name == name);
}
