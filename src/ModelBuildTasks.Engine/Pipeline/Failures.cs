using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;

namespace ModelBuildTasks.Engine.Pipeline;

/// <summary>Exceptions as diagnostics.</summary>
internal static class Failures
{
    /// <summary>Set to 1, internal errors show their stack trace.</summary>
    public const string TraceVariable = "MODELBUILD_TRACE";

    /// <summary>What to tell the user; what nobody foresaw is an internal error of one line.</summary>
    public static IReadOnlyList<Diagnostic> Explain(Exception e, TargetPlan target)
    {
        if ((e as ModelBuildException ?? (e as AggregateException)?.Flatten().InnerExceptions.OfType<ModelBuildException>().FirstOrDefault()) is { } known)
            return known.At(target.ModelLocation).Diagnostics;
        return [Unforeseen(e, $"{target.Name}: ", target.Location)];
    }

    /// <summary>An exception that is not a <see cref="ModelBuildException"/> as a diagnostic.</summary>
    public static Diagnostic Unforeseen(Exception e, string prefix, SourceLocation? location)
    {
        if (IsMissingRuntime(e))
            return new(DiagnosticCodes.UnsupportedPlatform, DiagnosticSeverity.Error, $"{prefix}the native library of ONNX Runtime cannot be loaded on {System.Runtime.InteropServices.RuntimeInformation.RuntimeIdentifier}: {e.GetBaseException().Message}", location);
        var trace = Environment.GetEnvironmentVariable(TraceVariable) == "1" ? $" {e}" : $" (set {TraceVariable}=1 for details)";
        return new(DiagnosticCodes.InternalError, DiagnosticSeverity.Error, $"{prefix}internal error: {e.GetType().Name}: {e.Message}{trace}", location);
    }

    /// <summary>Does something that writes below <paramref name="path"/>.</summary>
    /// <exception cref="ModelBuildException">MBT2007: it cannot be written.</exception>
    public static void Writing(string path, Action action)
    {
        try
        {
            action();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ModelBuildException(DiagnosticCodes.CannotWrite, $"'{path}' cannot be written: {e.Message}", inner: e);
        }
    }

    private static bool IsMissingRuntime(Exception e) =>
        e.GetBaseException() is DllNotFoundException or BadImageFormatException or EntryPointNotFoundException;
}
