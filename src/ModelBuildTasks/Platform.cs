using System.Runtime.InteropServices;

namespace ModelBuildTasks;

/// <summary>Operating system and processor by the names that packages use for them, such as <c>linux-x64</c>.</summary>
internal static class Platform
{
    public static string Current() => Name(
        RuntimeInformation.IsOSPlatform(OSPlatform.Windows) ? "win" : RuntimeInformation.IsOSPlatform(OSPlatform.OSX) ? "osx" : "linux",
        RuntimeInformation.OSArchitecture,
        IsMusl(File.Exists, Directory.Exists("/lib") ? Directory.GetFiles("/lib", "ld-musl-*") : []));

    public static string Name(string system, Architecture architecture, bool musl) =>
        $"{system}{(system == "linux" && musl ? "-musl" : "")}-{architecture.ToString().ToLowerInvariant()}";

    /// <summary>Whether the C library is musl, as on Alpine. A musl loader may be installed beside glibc, whose own then shows itself.</summary>
    public static bool IsMusl(Func<string, bool> exists, string[] muslLoaders) =>
        muslLoaders.Length > 0
        && !exists("/lib64/ld-linux-x86-64.so.2") && !exists("/lib/ld-linux-aarch64.so.1") && !exists("/lib/ld-linux-armhf.so.3");

    /// <summary>The platforms a worker has natives for; empty when it has none of its own (they lie elsewhere).</summary>
    public static IReadOnlyList<string> Supported(string workerFolder)
    {
        var runtimes = Path.Combine(workerFolder, "runtimes");
        return Directory.Exists(runtimes)
            ? [.. Directory.GetDirectories(runtimes).Where(r => Directory.Exists(Path.Combine(r, "native"))).Select(Path.GetFileName).OrderBy(r => r, StringComparer.Ordinal)]
            : [];
    }
}
