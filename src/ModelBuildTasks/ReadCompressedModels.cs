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

    /// <summary>The artifacts, with the metadata Name, Size, OriginalSize, Sha256, Report (empty where there is none) and Embedded.</summary>
    [Output]
    public ITaskItem[] Models { get; set; } = [];

    /// <inheritdoc/>
    public override bool Execute()
    {
        var report = Path.Combine(OutputDirectory, "report.json");
        Models = [.. CompressedModelList.Read(OutputDirectory).Select(ITaskItem (model) =>
        {
            var item = new TaskItem(TaskPath.Escape(model.Path));
            item.SetMetadata("Name", model.Name);
            item.SetMetadata("Size", model.Size);
            item.SetMetadata("OriginalSize", model.OriginalSize);
            item.SetMetadata("Sha256", model.Sha256);
            item.SetMetadata("Report", File.Exists(report) ? TaskPath.Escape(report) : "");
            item.SetMetadata("Embedded", model.Embedded ? "true" : "false");
            return item;
        })];
        return true;
    }
}
