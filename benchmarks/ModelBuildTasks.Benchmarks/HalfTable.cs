using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Pipeline;
using ModelBuildTasks.Engine.Reporting;

namespace ModelBuildTasks.Benchmarks;

/// <summary>
/// Both forms of the pass float16 on the models of <c>models.yaml</c>, one row a model: bytes, SQNR against the original, and for the stored form the
/// latency. ONNX Runtime's CPU has hardly a kernel of float16 and casts around what it has not: of the computed form only the answers count here.
/// </summary>
internal static class HalfTable
{
    public static int Write(string dataFolder, string? target)
    {
        IReadOnlyList<string> names = [];
        var read = ModelTable.WithManifest(dataFolder, manifest =>
        {
            names = [.. ManifestReader.Read(manifest).Targets.Select(t => t.Name).Where(n => target is null || n == target)];
            return 0;
        });
        Console.WriteLine("| model | original | stored | share | SQNR | latency | computed | share | SQNR | what the pass did |");
        Console.WriteLine("|---|---:|---:|---:|---:|---:|---:|---:|---:|---|");
        var failed = read != 0;
        foreach (var name in names)
        {
            var one = Run(dataFolder, name, "ort-cpu", compute: false, latency: true);
            var two = Run(dataFolder, name, "tensorrt", compute: true, latency: false);
            failed |= one.Report.Artifact is null || two.Report.Artifact is null;
            Console.WriteLine($"| {name} | {one.Report.Model.Size:N0} | {Cells(one)} | {(one.Report.Validation?.Latency?.Ratio is { } ratio ? $"{ratio:F2}" : "")} | {Cells(two)} | {Summary(two.Report)} |");
        }

        return failed ? 1 : 0;
    }

    private static TargetResult Run(string dataFolder, string target, string runtime, bool compute, bool latency)
    {
        TargetResult? result = null;
        var passes = $"\n  passes: [ {{ float16: {{ compute: {(compute ? "true" : "false")} }} }} ]\n  runtime: {runtime}\n";
        ModelTable.WithManifest(dataFolder, text => text.Replace("\n  recipe: int8\n", passes, StringComparison.Ordinal), manifest =>
        {
            var request = new CompressionRequest(ManifestReader.Read(manifest), Path.Combine(Path.GetDirectoryName(manifest)!, "out"))
            {
                Threads = Environment.ProcessorCount,
                Target = target,
                MeasureLatency = latency,
            };
            result = Compressor.Run(request, (_) => { }, CancellationToken.None).Targets[0];
            return 0;
        });
        return result!;
    }

    private static string Cells(TargetResult result)
    {
        var report = result.Report;
        if (report.Artifact is null)
            return $"failed: {report.OutcomeReason} | | ";
        var sqnr = report.Validation?.Metrics.FirstOrDefault(m => m.Name == "sqnr")?.Compressed;
        return $"{report.Artifact.Size:N0}{(report.Outcome == "original" ? " (original)" : "")} | {(double)report.Artifact.Size / report.Model.Size:P1} | {sqnr:F1}";
    }

    private static string Summary(TargetReport report) => report.Passes.Count == 0 ? "" : report.Passes[^1].Summary.Split(';')[0];
}
