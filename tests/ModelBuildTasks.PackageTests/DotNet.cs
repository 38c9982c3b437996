using System.Diagnostics;
using System.Text;

namespace ModelBuildTasks.PackageTests;

/// <summary>What a run of <c>dotnet</c> printed and returned.</summary>
internal sealed record DotNetResult(int ExitCode, string Output);

/// <summary>Runs <c>dotnet</c> as a user does, free of what the test host's own build left in the environment.</summary>
internal static class DotNet
{
    public static DotNetResult Run(string folder, params string[] arguments)
    {
        var start = new ProcessStartInfo("dotnet", arguments)
        {
            WorkingDirectory = folder,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            StandardOutputEncoding = Encoding.UTF8,
        };
        foreach (var name in start.Environment.Keys.Where(Foreign).ToList())
            start.Environment.Remove(name);
        start.Environment["MSBUILDDISABLENODEREUSE"] = "1";
        start.Environment["DOTNET_CLI_USE_MSBUILD_SERVER"] = "0";
        start.Environment["MSBUILDTERMINALLOGGER"] = "off";
        start.Environment["DOTNET_CLI_UI_LANGUAGE"] = "en";

        using var process = new Process { StartInfo = start };
        var text = new StringBuilder();
        DataReceivedEventHandler keep = (_, e) =>
        {
            lock (text)
                text.AppendLine(e.Data);
        };
        process.OutputDataReceived += keep;
        process.ErrorDataReceived += keep;
        process.Start();
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        process.WaitForExit();
        return new DotNetResult(process.ExitCode, text.ToString());
    }

    private static bool Foreign(string name) =>
        name.StartsWith("MSBuild", StringComparison.OrdinalIgnoreCase)
        || name is "DOTNET_HOST_PATH" or "DOTNET_CLI_TELEMETRY_SESSIONID" or "Configuration" or "Platform";
}
