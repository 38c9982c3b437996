using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;

namespace ModelBuildTasks.Tool;

/// <summary>Files that the command line names.</summary>
internal static class CommandLineFile
{
    /// <summary>The path as it was written, once it is sure that a file is there.</summary>
    /// <exception cref="WrongCallException">There is none.</exception>
    public static string Existing(string path, string what)
    {
        if (Directory.Exists(path))
            throw new WrongCallException(DiagnosticCodes.FileNotFound, $"{what} '{path}' is a folder, not a file");
        if (!File.Exists(path))
            throw new WrongCallException(DiagnosticCodes.FileNotFound, $"{what} '{path}' does not exist");
        return path;
    }

    /// <summary>The dataset that <c>MANIFEST#DATASET</c> names; null for null.</summary>
    /// <exception cref="WrongCallException">It is not of this form, or there is no such manifest.</exception>
    /// <exception cref="ModelBuildException">The manifest is wrong or has no such dataset.</exception>
    public static DatasetUse? Dataset(string? text)
    {
        if (text is null)
            return null;
        var at = text.LastIndexOf('#');
        if (at <= 0 || at == text.Length - 1)
            throw new WrongCallException(DiagnosticCodes.InvalidValue, $"--data '{text}' is not of the form MANIFEST#DATASET");
        var dataset = ManifestReader.ReadDataset(Existing(text[..at], "manifest"), text[(at + 1)..]);
        return new(dataset, dataset.Location);
    }
}
