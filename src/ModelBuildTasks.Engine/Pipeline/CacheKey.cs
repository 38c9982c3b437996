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
    public static string Of(CompressionRequest request, TargetPlan target, string modelSha256, long modelBytes, IDataset? calibration, IDataset? validation)
    {
        var text = new StringBuilder();
        void Line(string name, string value) => text.Append(name).Append(' ').Append(value).Append('\n');
        var assembly = typeof(CacheKey).Assembly;
        Line("tool", $"{assembly.GetName().Version} {assembly.ManifestModule.ModuleVersionId}");
        Line("onnxruntime", OnnxRuntimeText.NameAndVersion);
        Line("machine", $"{RuntimeInformation.ProcessArchitecture}");
        Line("model", $"{modelBytes} {modelSha256}");
        Line("calibration", calibration?.ContentHash ?? "none");
        Line("passes", CanonicalText.Of(target.Passes));
        Line("rules", CanonicalText.Of(target.Rules));
        Line("runtime", CanonicalText.Of(target.Runtime));
        Line("validation", request.Validate && target.Validation is { } plan ? CanonicalText.Of(plan.Gates) : "none");
        Line("validation data", validation?.ContentHash ?? "none");
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
