using System.Security.Cryptography;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Tool.Building;

/// <summary>The outputs of <c>ModelBuildEnabled=false</c>: the models as they are, each in one file.</summary>
internal static class Originals
{
    public static Output Copy(TargetPlan target, string folder)
    {
        var path = Path.Combine(folder, target.Name + ".onnx");
        try
        {
            using var model = OnnxModel.Load(target.ModelPath);
            if (model.Payloads.Files.Count == 1)
                File.Copy(target.ModelPath, path, overwrite: true);
            else
                model.Save(path);
        }
        catch (ModelBuildException e)
        {
            throw e.At(target.ModelLocation);
        }
        var size = new FileInfo(path).Length;
        using var stream = File.OpenRead(path);
        return new Output(target.Name, size, size, Convert.ToHexStringLower(SHA256.HashData(stream)), target.Package == PackageAs.Resource);
    }
}
