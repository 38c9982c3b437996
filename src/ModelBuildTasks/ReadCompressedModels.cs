using Microsoft.Build.Framework;
using Microsoft.Build.Utilities;

namespace ModelBuildTasks;

/// <summary>Makes items of the artifacts of the last run.</summary>
[MSBuildMultiThreadableTask]
public sealed class ReadCompressedModels : Task
{
    /// <summary>Full path of the folder with the outputs.</summary>
    [Required]
    public string OutputDirectory { get; set; } = "";

    /// <summary>Identifier of the target framework that the models are for, such as <c>.NETStandard</c>; empty where none compiles the accessor.</summary>
    public string? TargetFrameworkIdentifier { get; set; }

    /// <summary>Version of the target framework, such as <c>v2.0</c>.</summary>
    public string? TargetFrameworkVersion { get; set; }

    /// <summary>The files that the app carries, with the metadata Name, Size, OriginalSize, Length, Sha256, Report (empty where there is none), As, Encoding and Embedded.</summary>
    [Output]
    public ITaskItem[] Models { get; set; } = [];

    /// <summary>The data files of models that are too large for one file and go next to the app, with the metadata Name.</summary>
    [Output]
    public ITaskItem[] ContentData { get; set; } = [];

    /// <inheritdoc/>
    public override bool Execute()
    {
        var report = Path.Combine(OutputDirectory, "report.json");
        var models = CompressedModelList.Read(OutputDirectory);
        Models = [.. models.Select(ITaskItem (model) =>
        {
            var item = new TaskItem(TaskPath.Escape(model.Path));
            item.SetMetadata("Name", model.Name);
            item.SetMetadata("Size", model.Size);
            item.SetMetadata("OriginalSize", model.OriginalSize);
            item.SetMetadata("Length", model.Length);
            item.SetMetadata("Sha256", model.Sha256);
            item.SetMetadata("Report", File.Exists(report) ? TaskPath.Escape(report) : "");
            item.SetMetadata("As", model.As);
            item.SetMetadata("Encoding", model.Encoding);
            item.SetMetadata("Embedded", model.As == "resource" ? "true" : "false");
            item.SetMetadata("DataFile", TaskPath.Escape(model.DataPath));
            return item;
        })];
        ContentData = [.. models.Where(m => m.As == "content" && m.DataPath.Length > 0).Select(m => new TaskItem(TaskPath.Escape(m.DataPath)))];
        if (!HasBrotli())
        {
            foreach (var model in models.Where(m => m.Encoding == "brotli" && m.As != "none"))
                Log.LogError(null, Codes.NoDecoder, null, model.Manifest.Length > 0 ? model.Manifest : null, model.Line, model.Column, 0, 0,
                    "{0}", $"{model.Name}: {TargetFrameworkIdentifier} {TargetFrameworkVersion} has no Brotli decoder for the accessor. Say 'package: {{ encoding: none }}', or target netstandard2.1, net5.0 or a later framework alone.");
        }

        return !Log.HasLoggedErrors;
    }

    // System.IO.Compression.BrotliStream came with .NET Core 2.1 and .NET Standard 2.1, and .NET Framework never got it.
    private bool HasBrotli() => TargetFrameworkIdentifier switch
    {
        ".NETFramework" => false,
        ".NETStandard" or ".NETCoreApp" => !Version.TryParse(TargetFrameworkVersion?.TrimStart('v', 'V'), out var version) || version >= new Version(2, 1),
        _ => true,
    };
}
