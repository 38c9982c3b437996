using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Reporting;

namespace ModelBuildTasks.Engine.Pipeline;

/// <summary>Carries out a plan: every target becomes a checked artifact, or an error and nothing.</summary>
public static class Compressor
{
    /// <summary>
    /// Compresses the targets one after the other and writes <c>report.json</c>, also when some failed. A target that fails
    /// leaves its previous artifact untouched and does not stop the others: see <see cref="CompressionResult.Succeeded"/>.
    /// </summary>
    /// <param name="request">What to do.</param>
    /// <param name="progress">Told what happens, possibly from other threads; null for nobody.</param>
    /// <param name="cancellation">Ends the work; nothing of an unfinished target is put in place.</param>
    /// <exception cref="ModelBuildException">MBT1007: no target of the requested name. MBT2007: the report cannot be written.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public static CompressionResult Run(CompressionRequest request, Action<ProgressEvent>? progress = null, CancellationToken cancellation = default) =>
        Run(request, new Workbench(), progress, cancellation);

    internal static CompressionResult Run(CompressionRequest request, Workbench bench, Action<ProgressEvent>? progress = null, CancellationToken cancellation = default)
    {
        var targets = request.Plan.Targets.Where(t => request.Target is null || t.Name == request.Target).ToList();
        if (request.Target is { } name && targets.Count == 0)
            throw new ModelBuildException(DiagnosticCodes.UnknownName, $"there is no target '{name}'; there are {string.Join(", ", request.Plan.Targets.Select(t => t.Name))}", new(request.Plan.ManifestPath));
        var results = targets.ConvertAll(t => new TargetRun(request, t, bench, progress, cancellation).Run());
        var report = new Report(1, CacheKey.Tool, RuntimeName(request.Check), [.. results.Select(r => r.Report)]);
        if (request.Report)
            ReportFile.Write(report, Path.Combine(request.OutputDirectory, ReportFile.Name));
        return new(report, results);
    }

    private static string RuntimeName(bool used)
    {
        if (!used)
            return OnnxRuntimeText.BoundVersion;
        try
        {
            return OnnxRuntimeText.NameAndVersion;
        }
        catch (Exception e) when (e is TypeInitializationException or DllNotFoundException)
        {
            // Each target has said so; the report is written all the same.
            return "ONNX Runtime (not loaded)";
        }
    }
}
