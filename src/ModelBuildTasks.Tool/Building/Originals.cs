using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Hashing;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Pipeline;

namespace ModelBuildTasks.Tool.Building;

/// <summary>The outputs of <c>ModelBuildEnabled=false</c>: the models as they are, not encoded.</summary>
internal static class Originals
{
    public static Output Copy(TargetPlan target, string folder, long inlineLimit)
    {
        var path = Path.Combine(folder, target.Name + ".onnx");
        try
        {
            using var model = OnnxModel.Load(target.ModelPath);
            var originalSize = model.Payloads.Files.Sum(f => new FileInfo(f).Length);
            if (model.Payloads.Files.Count == 1)
                // Content without its time: what is older than the copy next to the app would not be copied there.
                Failures.Writing(path, () => ContentHash.Copy(target.ModelPath, path, CancellationToken.None));
            else
                ModelWriter.Save(model, path, inlineLimit);
            var data = Candidate.DataPath(path);
            string[] files = File.Exists(data) ? [path, data] : [path];
            // Encoding is slow and for what is shipped; the accessor that is written for these outputs reads them as they are.
            return Output.Of(target with { Encoding = PackageEncoding.None }, folder, originalSize, ContentHash.OfFiles(files, CancellationToken.None));
        }
        catch (ModelBuildException e)
        {
            throw e.At(target.ModelLocation);
        }
    }
}
