using System.Reflection;
using System.Runtime.InteropServices;
using System.Text;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Hashing;
using ModelBuildTasks.Engine.Manifest;

namespace ModelBuildTasks.Engine.Pipeline;

/// <summary>What decides an artifact and its measurements, as one hash. Names, paths and places in the manifest do not.</summary>
internal static class CacheKey
{
    /// <param name="request">The request.</param>
    /// <param name="target">The target.</param>
    /// <param name="modelSha256">Hash of the original.</param>
    /// <param name="modelBytes">Bytes of the original.</param>
    /// <param name="calibration">The calibration data.</param>
    /// <param name="validation">The validation data.</param>
    /// <param name="dataFileOf">The artifact's file name where it may have a data file, whose name stands in the artifact; null where it cannot.</param>
    /// <param name="training">Hash of what passes train on; null for nothing.</param>
    public static string Of(
        CompressionRequest request, TargetPlan target, string modelSha256, long modelBytes, IDataset? calibration, IDataset? validation, string? dataFileOf = null, string? training = null)
    {
        var text = new StringBuilder();
        void Line(string name, string value) => text.Append(name).Append(' ').Append(value).Append('\n');
        var assembly = typeof(CacheKey).Assembly;
        Line("tool", $"{assembly.GetName().Version} {assembly.ManifestModule.ModuleVersionId}");
        Line("onnxruntime", OnnxRuntimeText.NameAndVersion);
        Line("machine", $"{RuntimeInformation.ProcessArchitecture}");
        Line("model", $"{modelBytes} {modelSha256}");
        Line("calibration", calibration?.ContentHash ?? "none");
        Line("training", training ?? "none");
        Line("passes", CanonicalText.Of(target.Passes));
        Line("rules", CanonicalText.Of(target.Rules));
        Line("runtime", CanonicalText.Of(target.Runtime));
        Line("validation", request.Validate && target.Validation is { } plan ? CanonicalText.Of(plan.Gates) : "none");
        Line("validation data", validation?.ContentHash ?? "none");
        Line("encoding", target.Encoding == PackageEncoding.None ? "none" : $"{target.Encoding} by .NET {Environment.Version}");
        Line("data file", dataFileOf ?? "none");
        Line("on_failure", $"{target.OnFailure}");
        Line("latency", $"{request.MeasureLatency}");
        return ContentHash.OfText(text.ToString());
    }

    /// <summary>The tool's name and version for reports.</summary>
    public static string Tool
    {
        get
        {
            var assembly = typeof(CacheKey).Assembly;
            var version = assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? $"{assembly.GetName().Version}";
            return $"ModelBuildTasks {version.Split('+')[0]}";
        }
    }
}
