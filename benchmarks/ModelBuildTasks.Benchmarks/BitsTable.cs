using System.Globalization;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Pipeline;

namespace ModelBuildTasks.Benchmarks;

/// <summary>Runs <c>bits.yaml</c>, weights below 8 bits, on a folder of models and data and prints one row a target: what was asked for, bytes, metrics.</summary>
internal static class BitsTable
{
    public static int Write(string dataFolder, string? name) => ModelTable.WithManifest(dataFolder, manifest =>
    {
        var plan = ManifestReader.Read(manifest);
        var request = new CompressionRequest(plan, Path.Combine(Path.GetDirectoryName(manifest)!, "out")) { Threads = Environment.ProcessorCount, Target = name };
        var result = Compressor.Run(request, (_) => { }, CancellationToken.None);
        Console.WriteLine("| model | weights | method | group | bytes | agreement | SQNR | NLL | accuracy |");
        Console.WriteLine("|---|---|---|---:|---:|---:|---:|---:|---:|");
        foreach (var target in result.Targets)
        {
            var report = target.Report;
            if (report.Artifact is null)
            {
                Console.WriteLine($"| {report.Name} | failed: {string.Join("; ", target.Diagnostics)} |");
                continue;
            }

            var bits = plan.Targets.Single(t => t.Name == report.Name).Passes.OfType<QuantizePlan>().Single().Bits!;
            var (method, group) = (bits.Bits == 1 && bits.Average is null ? "" : $"{bits.Method}".ToLowerInvariant(), bits.Group == 0 ? "channel" : $"{bits.Group}");
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"| {Path.GetFileNameWithoutExtension(report.Model.Path)} | {(bits.Planes > 1 ? $"{bits.Planes} planes" : bits.Word)} | {method} | {group} | {report.Artifact.Size:N0} | {One("agreement", "P1")} | {One("sqnr", "F1")} | {One("nll", "F4")} | {One("accuracy", "P2")} |"));

            string One(string metric, string format) => ModelTable.Find(report, metric)?.Compressed.ToString(format, CultureInfo.InvariantCulture) ?? "";
        }

        return result.Succeeded ? 0 : 1;
    }, "bits.yaml");
}
