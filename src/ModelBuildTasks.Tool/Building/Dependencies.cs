using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Tool.Building;

/// <summary>
/// The file <c>deps</c>: what the outputs were made from, since MSBuild cannot see what a manifest names. Lines are
/// <c>file⇥path</c> and <c>glob⇥folder⇥pattern</c>; a new file that fits a pattern is a change, too.
/// </summary>
internal static class Dependencies
{
    public const string FileName = "deps";

    public static void Write(string folder, IEnumerable<string> files, IEnumerable<Plan> plans)
    {
        var globs = plans.SelectMany(p => p.Datasets.Values)
            .SelectMany(d => d.Inputs.Values.Concat(d.Labels is { } labels ? [labels] : []))
            .OfType<ImagesSource>()
            .Select(i => $"glob\t{i.BaseDirectory}\t{i.Pattern}\n");
        var lines = files.Select(f => $"file\t{Path.GetFullPath(f)}\n").Concat(globs);
        AtomicFile.Write(Path.Combine(folder, FileName), string.Concat(lines.Distinct().Order(StringComparer.Ordinal)));
    }

    /// <summary>The files in which a model keeps tensors beside itself; none for a model that cannot be read, which is reported elsewhere.</summary>
    public static IEnumerable<string> ExternalFiles(string model)
    {
        try
        {
            using var loaded = OnnxModel.Load(model);
            return loaded.Payloads.Files;
        }
        catch (ModelBuildException)
        {
            return [];
        }
    }
}
