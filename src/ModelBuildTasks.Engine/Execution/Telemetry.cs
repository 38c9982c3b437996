using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime;

namespace ModelBuildTasks.Engine.Execution;

/// <summary>
/// ONNX Runtime reports its use, and writes an identifier of the machine into the user's folder, unless the environment variable
/// ORT_DISABLE_TELEMETRY is set when its library is loaded. A build reports nothing to anybody.
/// </summary>
internal static partial class Telemetry
{
    private const string Variable = "ORT_DISABLE_TELEMETRY";

    /// <summary>Switches it off for this process. To be called before anything of ONNX Runtime.</summary>
    public static void SwitchOff()
    {
        // .NET keeps its own copy of the environment on Unix, and the C library of Windows one more: native code sees neither.
        Environment.SetEnvironmentVariable(Variable, "1");
        if (OperatingSystem.IsWindows())
            _ = PutEnvironment(Variable, "1");
        else
            _ = SetEnvironment(Variable, "1", 1);
        OrtEnv.Instance().DisableTelemetryEvents();
    }

    [LibraryImport("libc", EntryPoint = "setenv", StringMarshalling = StringMarshalling.Utf8)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int SetEnvironment(string name, string value, int overwrite);

    [LibraryImport("ucrtbase", EntryPoint = "_wputenv_s", StringMarshalling = StringMarshalling.Utf16)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.System32)]
    private static partial int PutEnvironment(string name, string value);
}
