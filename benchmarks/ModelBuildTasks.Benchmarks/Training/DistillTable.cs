using System.Globalization;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Pipeline;

namespace ModelBuildTasks.Benchmarks.Training;

/// <summary>Runs <c>distill.yaml</c> on a folder of models and data and prints one row a target.</summary>
internal static class DistillTable
{
    public static int Write(string dataFolder, string? name) => ModelTable.WithManifest(dataFolder, manifest =>
    {
        var plan = ManifestReader.Read(manifest);
        Console.WriteLine("| target | bytes | share | accuracy | agreement | SQNR | passes |");
        Console.WriteLine("|---|---:|---:|---|---:|---:|---|");
        var failed = false;
        foreach (var target in plan.Targets.Where(t => name is null || t.Name.StartsWith(name, StringComparison.Ordinal)))
        {
            var request = new CompressionRequest(plan, Path.Combine(Path.GetDirectoryName(manifest)!, "out")) { Threads = Environment.ProcessorCount, Target = target.Name };
            var result = Compressor.Run(request, Tell, CancellationToken.None).Targets.Single();
            var report = result.Report;
            failed |= report.Artifact is null;
            if (report.Artifact is null)
            {
                Console.WriteLine($"| {report.Name} | failed: {string.Join("; ", result.Diagnostics)} |");
                continue;
            }

            var accuracy = ModelTable.Find(report, "accuracy");
            var passes = string.Join("; ", report.Passes.Skip(1).Select(p => string.Create(CultureInfo.InvariantCulture, $"{p.Name} {p.Seconds:F0} s: {p.Summary}{(p.Metrics?.FirstOrDefault(m => m.Name == "accuracy") is { } then ? $" ({then.Compressed:P2})" : "")}")));
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"| {report.Name} | {report.Artifact.Size:N0} | {(double)report.Artifact.Size / report.Model.Size:P1} | {accuracy?.Reference:P2} -> {accuracy?.Compressed:P2} | {ModelTable.Find(report, "agreement")?.Compressed:P2} | {ModelTable.Find(report, "sqnr")?.Compressed:F1} | {passes} |"));
        }

        return failed ? 1 : 0;
    }, "distill.yaml");

    private static void Tell(ProgressEvent e)
    {
        if (e.Step == "distill" && e.Fraction is > 0 and { } done && Math.Round(done * 100) % 10 == 0)
            Console.Error.WriteLine($"{e.Target}: {e.Message}");
    }
}
