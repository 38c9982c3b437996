using System.Globalization;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Pipeline;

namespace ModelBuildTasks.Benchmarks;

/// <summary>Runs <c>channels.yaml</c>, structured pruning, on a folder of models and data and prints one row a target.</summary>
internal static class ChannelsTable
{
    public static int Write(string dataFolder, string? name) => ModelTable.WithManifest(dataFolder, manifest =>
    {
        var plan = ManifestReader.Read(manifest);
        Console.WriteLine("| target | bytes | share | accuracy | agreement | SQNR | latency | seconds | pruned |");
        Console.WriteLine("|---|---:|---:|---|---:|---:|---:|---:|---|");
        var failed = false;
        foreach (var target in plan.Targets.Where(t => name is null || t.Name.StartsWith(name, StringComparison.Ordinal)))
        {
            var request = new CompressionRequest(plan, Path.Combine(Path.GetDirectoryName(manifest)!, "out")) { Threads = Environment.ProcessorCount, Target = target.Name, MeasureLatency = true };
            var result = Compressor.Run(request, (_) => { }, CancellationToken.None).Targets.Single();
            var report = result.Report;
            failed |= report.Artifact is null;
            Console.WriteLine(report.Artifact is null
                ? $"| {report.Name} | failed: {string.Join("; ", result.Diagnostics)} |"
                : string.Create(CultureInfo.InvariantCulture,
                    $"| {report.Name} | {report.Artifact.Size:N0} | {(double)report.Artifact.Size / report.Model.Size:P1} | {Pair("accuracy", "P2")} | {One("agreement", "P2")} | {One("sqnr", "F1")} | {report.Validation?.Latency?.Ratio:F2} | {report.Passes[^1].Seconds:F1} | {report.Passes[^1].Summary} |"));

            string One(string metric, string format) => ModelTable.Find(report, metric)?.Compressed.ToString(format, CultureInfo.InvariantCulture) ?? "";

            string Pair(string metric, string format) => ModelTable.Find(report, metric) is { } found
                ? $"{found.Reference?.ToString(format, CultureInfo.InvariantCulture)} -> {found.Compressed.ToString(format, CultureInfo.InvariantCulture)}" : "";
        }

        return failed ? 1 : 0;
    }, "channels.yaml");
}
