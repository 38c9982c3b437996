using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;

namespace ModelBuildTasks.Tool.Building;

/// <summary>Whether an artifact can get into the app as the manifest says.</summary>
internal static class PackageCheck
{
    public static void Write(TargetPlan target, Output output, BuildLog log)
    {
        if (Problem(output) is var (code, why))
            log.Write(new Diagnostic(code, DiagnosticSeverity.Error, $"{output.Name}: {why}", target.PackageLocation ?? target.Location));
    }

    private static (string Code, string Why)? Problem(Output output) => output switch
    {
        { Encoding: PackageEncoding.Brotli, HasData: true } =>
            (DiagnosticCodes.CannotEncode, "the model keeps its tensors in a data file, which a runtime maps as it is and which cannot be encoded; say 'package: { as: content, encoding: none }'."),
        { Package: PackageAs.Resource, HasData: true } =>
            (DiagnosticCodes.CannotEmbed, $"a model of {output.Size:N0} bytes keeps its tensors in a data file and cannot be loaded from a resource of the assembly; say 'package: {{ as: content }}'."),
        { Package: PackageAs.Resource, Size: > int.MaxValue } =>
            (DiagnosticCodes.CannotEmbed, $"an artifact of {output.Size:N0} bytes cannot be embedded in an assembly; say 'package: {{ as: content }}'."),
        _ => null,
    };
}
