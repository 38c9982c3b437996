using Microsoft.Build.Framework;
using Microsoft.Build.Utilities;

namespace ModelBuildTasks;

/// <summary>
/// Reads what the last run of the worker found out about its inputs and outputs (<c>deps</c>, <c>outputs</c>), so that MSBuild
/// can tell whether another run is needed.
/// </summary>
[MSBuildMultiThreadableTask]
public sealed class ReadModelInputs : Task
{
    /// <summary>Full path of the folder with the outputs.</summary>
    [Required]
    public string OutputDirectory { get; set; } = "";

    /// <summary>The files that the outputs were made from, existing or not.</summary>
    [Output]
    public ITaskItem[] Files { get; set; } = [];

    /// <summary>The files that fit the manifests' patterns now: one more or one less is a change, too.</summary>
    [Output]
    public string Listing { get; set; } = "";

    /// <summary>Whether an output is missing.</summary>
    [Output]
    public bool OutputsMissing { get; set; }

    /// <inheritdoc/>
    public override bool Execute()
    {
        var files = new List<ITaskItem>();
        var listing = new List<string>();
        var path = Path.Combine(OutputDirectory, "deps");
        foreach (var fields in File.Exists(path) ? File.ReadAllLines(path).Select(l => l.Split('\t')) : [])
        {
            if (fields.Length == 2 && fields[0] == "file")
                files.Add(new TaskItem(TaskPath.Escape(fields[1])));
            else if (fields.Length == 3 && fields[0] == "glob")
                listing.AddRange(List(fields[1], fields[2]));
        }
        Files = [.. files];
        listing.Sort(StringComparer.Ordinal);
        Listing = string.Join("|", listing.Distinct());
        OutputsMissing = CompressedModelList.Read(OutputDirectory).Any(o => o.Files.Any(f => !File.Exists(f)));
        return true;
    }

    // Wider than the pattern (all files of its extension below its fixed part): a run too many finds everything in the cache.
    private static IEnumerable<string> List(string folder, string pattern)
    {
        var parts = pattern.Split('/');
        var fixedParts = parts.Take(parts.Length - 1).TakeWhile(p => p.IndexOfAny(['*', '?']) < 0).ToArray();
        var root = Path.GetFullPath(Path.Combine([folder, .. fixedParts]));
        if (!Directory.Exists(root))
            return [];
        var extension = Path.GetExtension(parts[parts.Length - 1]);
        var deep = fixedParts.Length < parts.Length - 1;
        return Directory
            .GetFiles(root, extension.Length > 1 && extension.IndexOfAny(['*', '?']) < 0 ? "*" + extension : "*", deep ? SearchOption.AllDirectories : SearchOption.TopDirectoryOnly)
            .Select(f => f.Substring(root.Length));
    }
}
