using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Pipeline;

namespace ModelBuildTasks.Tool.Building;

/// <summary>One run of the worker for a project: manifests in, a consistent output folder out.</summary>
internal static class BuildRun
{
    public const string AccessorFile = "CompressedModels.g.cs";
    private const string StampFile = "stamp";
    private const string StageFolder = "stage";

    /// <summary>Compresses what the manifests name and puts the outputs in place, all of them or none.</summary>
    public static bool Compress(BuildRequest request, BuildLog log)
    {
        var folder = request.OutputDirectory;
        using var held = FolderLock.Wait(folder, () => log.Detail("waiting for another build of this project"));
        var started = DateTime.UtcNow;
        var stamp = Path.Combine(folder, StampFile);
        File.Delete(stamp);
        AtomicFile.Sweep(folder);

        if (ReadManifests(request, log) is not { } plan || !DestinationsFree(plan, folder, log))
            return false;
        var stage = Path.Combine(folder, StageFolder);
        Recreate(stage);
        try
        {
            if (Make(plan, request, stage, log) is not { } outputs)
            {
                // The verdict on the failed artifacts is worth reading; the artifacts stay what they were.
                PutInPlace(stage, folder, "report.*");
                return false;
            }

            // What needs space is written before the first file is replaced.
            OutputList.Write(stage, outputs);
            AtomicFile.Write(Path.Combine(stage, AccessorFile), AccessorWriter.Write(request.Namespace, outputs));
            PutInPlace(stage, folder, "*");
            RemoveOthers(folder, outputs, keepReport: request.Enabled);
        }
        finally
        {
            Directory.Delete(stage, recursive: true);
        }

        // What changes while the worker runs is newer than the stamp, and the next build sees it.
        File.WriteAllBytes(stamp, []);
        File.SetLastWriteTimeUtc(stamp, started);
        return true;
    }

    /// <summary>Writes the accessor alone, for editors: sizes and hashes are those of the last build, or 0.</summary>
    public static bool Plan(BuildRequest request, BuildLog log)
    {
        if (ReadPlan(request, log, out _) is not { } plan)
            return false;
        var known = OutputList.Read(request.OutputDirectory).ToDictionary(o => o.Name);
        var outputs = plan.Targets.Select(t =>
            (known.TryGetValue(t.Name, out var output) ? output : new Output(t.Name, 0, 0, "", t.Package)) with { Package = t.Package, Encoding = t.Encoding, Location = t.PackageLocation });
        if (AtomicFile.Write(Path.Combine(request.OutputDirectory, AccessorFile), AccessorWriter.Write(request.Namespace, [.. outputs])))
            File.Delete(Path.Combine(request.OutputDirectory, StampFile));
        return true;
    }

    private static Plan? ReadManifests(BuildRequest request, BuildLog log)
    {
        var plan = ReadPlan(request, log, out var files);
        var external = plan?.Targets.Select(t => t.ModelPath).Distinct().SelectMany(Dependencies.ExternalFiles) ?? [];
        Dependencies.Write(request.OutputDirectory, files.Concat(external), plan is null ? [] : [plan]);
        return plan;
    }

    // Several manifests are one plan, so that names are checked against each other and there is one report.
    private static Plan? ReadPlan(BuildRequest request, BuildLog log, out IReadOnlyList<string> files)
    {
        var plans = new List<Plan>();
        var all = new List<string>(request.Manifests);
        files = all;
        foreach (var manifest in request.Manifests)
        {
            if (!File.Exists(manifest))
            {
                log.Write(new Diagnostic(DiagnosticCodes.FileNotFound, DiagnosticSeverity.Error,
                    $"The manifest '{manifest}' does not exist, and the item CompressionManifest names it."));
                continue;
            }
            var plan = ManifestReader.TryRead(manifest, out var diagnostics, out var read);
            log.Write(diagnostics);
            all.AddRange(read);
            if (plan is not null)
                plans.Add(plan);
        }
        if (log.HasErrors || plans.Count == 0)
            return null;
        var targets = plans.SelectMany(p => p.Targets).ToList();
        log.Write(AccessorNames.Check(targets));
        if (log.HasErrors)
            return null;
        var datasets = new Dictionary<string, DatasetPlan>();
        foreach (var (plan, name, dataset) in plans.SelectMany(p => p.Datasets.Select(d => (p, d.Key, d.Value))))
            datasets.TryAdd(plans.Count == 1 ? name : $"{plan.ManifestPath}#{name}", dataset);
        return plans[0] with { Datasets = datasets, Targets = targets, Files = [.. all.Distinct().Order(StringComparer.Ordinal)] };
    }

    private static List<Output>? Make(Plan plan, BuildRequest request, string stage, BuildLog log)
    {
        if (!request.Enabled)
        {
            var originals = plan.Targets.Select(t => (Target: t, Output: Originals.Copy(t, stage, request.InlineLimit))).ToList();
            originals.ForEach(o => PackageCheck.Write(o.Target, o.Output, log));
            return log.HasErrors ? null : originals.ConvertAll(o => o.Output);
        }

        var result = Compressor.Run(
            new CompressionRequest(plan, stage) { CacheDirectory = request.CacheDirectory, Threads = request.Threads },
            new Workbench { InlineLimit = request.InlineLimit },
            log.Progress,
            CancellationToken.None);
        var outputs = new List<Output>();
        foreach (var target in result.Targets)
        {
            log.Write(target.Diagnostics);
            if (target.Report.Artifact is not { } artifact)
                continue;
            var output = Output.Of(target.Plan, stage, target.Report.Model.Size, artifact.Sha256);
            PackageCheck.Write(target.Plan, output, log);
            outputs.Add(output);
            var packed = output.Encoding == PackageEncoding.None ? "" : $"{output.Size:N0} packed, ";
            log.Summary($"{target.Plan.Name}: {target.Report.Model.Size:N0} -> {artifact.Size:N0} bytes, {packed}{target.Report.Outcome}{(target.CacheHit ? " (from the cache)" : "")}");
        }
        return result.Succeeded && !log.HasErrors ? outputs : null;
    }

    // Found out at the end, it would leave some outputs new and some old.
    private static bool DestinationsFree(Plan plan, string folder, BuildLog log)
    {
        foreach (var (target, path) in plan.Targets.SelectMany(t => ArtifactCache.Suffixes.Select(s => (t, Path.Combine(folder, t.Name + ".onnx" + s)))))
            if (Directory.Exists(path))
                log.Write(new Diagnostic(DiagnosticCodes.CannotWrite, DiagnosticSeverity.Error, $"{target.Name}: '{path}' is a folder, and the artifact goes there; remove the folder.", target.Location));
        return !log.HasErrors;
    }

    // A file that is the same keeps its time, so that the compiler has no reason to run again.
    private static void PutInPlace(string stage, string folder, string pattern)
    {
        foreach (var file in Directory.EnumerateFiles(stage, pattern).Order(StringComparer.Ordinal).ToList())
        {
            var target = Path.Combine(folder, Path.GetFileName(file));
            if (!SameBytes(file, target))
                File.Move(file, target, overwrite: true);
        }
    }

    private static bool SameBytes(string left, string right)
    {
        if (!File.Exists(right) || new FileInfo(left).Length != new FileInfo(right).Length)
            return false;
        using var one = File.OpenRead(left);
        using var other = File.OpenRead(right);
        var hash = System.Security.Cryptography.SHA256.HashData(one);
        return hash.AsSpan().SequenceEqual(System.Security.Cryptography.SHA256.HashData(other));
    }

    private static void RemoveOthers(string folder, IReadOnlyList<Output> outputs, bool keepReport)
    {
        var current = outputs.SelectMany(o => o.Files).ToHashSet(StringComparer.OrdinalIgnoreCase);
        foreach (var file in Directory.EnumerateFiles(folder, "*.onnx*").ToList())
            if (!current.Contains(Path.GetFileName(file)))
                File.Delete(file);
        if (!keepReport)
            foreach (var file in Directory.EnumerateFiles(folder, "report.*").ToList())
                File.Delete(file);
    }

    private static void Recreate(string folder)
    {
        if (Directory.Exists(folder))
            Directory.Delete(folder, recursive: true);
        Directory.CreateDirectory(folder);
    }
}
