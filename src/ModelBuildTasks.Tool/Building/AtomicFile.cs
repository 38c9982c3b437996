using System.Text;
using ModelBuildTasks.Engine.Diagnostics;

namespace ModelBuildTasks.Tool.Building;

/// <summary>Files that are whole or absent: the worker may be killed at any time.</summary>
internal static class AtomicFile
{
    public const string TemporaryExtension = ".tmp";

    /// <summary>Writes text in UTF-8; a file that holds it already keeps its time.</summary>
    /// <returns>Whether the file changed.</returns>
    public static bool Write(string path, string text)
    {
        var bytes = new UTF8Encoding(false).GetBytes(text);
        if (File.Exists(path) && File.ReadAllBytes(path).AsSpan().SequenceEqual(bytes))
            return false;
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        var temporary = $"{path}.{Environment.ProcessId}{TemporaryExtension}";
        try
        {
            File.WriteAllBytes(temporary, bytes);
            File.Move(temporary, path, overwrite: true);
            return true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            if (File.Exists(temporary))
                File.Delete(temporary);
            throw new ModelBuildException(DiagnosticCodes.CannotWrite, $"'{path}' cannot be written: {e.Message}", inner: e);
        }
    }

    /// <summary>Removes what killed workers left below a folder.</summary>
    public static void Sweep(string folder)
    {
        foreach (var file in Directory.EnumerateFiles(folder, "*" + TemporaryExtension, SearchOption.AllDirectories).ToList())
            File.Delete(file);
    }
}
