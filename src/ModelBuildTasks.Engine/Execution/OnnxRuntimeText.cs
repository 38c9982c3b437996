using System.Text.RegularExpressions;
using Microsoft.ML.OnnxRuntime;

namespace ModelBuildTasks.Engine.Execution;

/// <summary>What ONNX Runtime says of itself and of its errors, fit for one line.</summary>
internal static partial class OnnxRuntimeText
{
    private const int MaxLength = 500;

    /// <summary>Such as <c>ONNX Runtime 1.31.1</c>.</summary>
    public static string NameAndVersion
    {
        get
        {
            Telemetry.SwitchOff();
            return $"ONNX Runtime {OrtEnv.Instance().GetVersionString()}";
        }
    }

    /// <summary>The same without loading the native library: the version of its binding.</summary>
    public static string BoundVersion => $"ONNX Runtime {typeof(OrtEnv).Assembly.GetName().Version?.ToString(3)}";

    /// <summary>An error's message in one line, without the error class and the places in ONNX Runtime's own sources.</summary>
    public static string OneLine(Exception e)
    {
        var text = Space().Replace(SourcePlace().Replace(ErrorClass().Replace(e.Message, ""), ""), " ").Trim();
        return text.Length > MaxLength ? text[..MaxLength] + "..." : text;
    }

    [GeneratedRegex(@"^\[ErrorCode:\w+\]\s*")]
    private static partial Regex ErrorClass();

    // "/onnxruntime_src/onnxruntime/core/graph/model.cc:181 onnxruntime::Model::Model(...) "
    [GeneratedRegex(@"\S*[/\\]\S+\.(cc|h):\d+ \S+\([^)]*\)\S*\s*")]
    private static partial Regex SourcePlace();

    [GeneratedRegex(@"[\s\p{C}]+")]
    private static partial Regex Space();
}
