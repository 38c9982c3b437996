using System.Runtime.InteropServices;

namespace ModelBuildTasks;

/// <summary>Finds the <c>dotnet</c> that runs the worker.</summary>
internal static class DotNetHost
{
    private static readonly string FileName = RuntimeInformation.IsOSPlatform(OSPlatform.Windows) ? "dotnet.exe" : "dotnet";

    /// <summary>The host MSBuild itself runs on, else that of the SDK the build uses, else the first on the path.</summary>
    /// <returns>A full path, or null.</returns>
    public static string? Find(string? hostPath, string? netCoreRoot, string? searchPath)
    {
        var candidates = new List<string>();
        if (!string.IsNullOrEmpty(hostPath))
            candidates.Add(hostPath!);
        if (!string.IsNullOrEmpty(netCoreRoot))
            candidates.Add(Path.Combine(netCoreRoot!, FileName));
        foreach (var folder in (searchPath ?? "").Split(Path.PathSeparator))
            if (folder.Trim('"').Trim() is { Length: > 0 } trimmed && trimmed.IndexOfAny(Path.GetInvalidPathChars()) < 0)
                candidates.Add(Path.Combine(trimmed, FileName));
        return candidates.Find(c => Path.IsPathRooted(c) && File.Exists(c));
    }
}
