using Microsoft.ML.OnnxRuntime;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Hashing;
using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Pipeline;

/// <summary>The model as it came: its graph, its files, their hash.</summary>
internal sealed class Original : IDisposable
{
    private Original(OnnxModel model, IReadOnlyList<string> files, long size, string sha256)
    {
        Model = model;
        Files = files;
        Size = size;
        Sha256 = sha256;
        Inputs = model.Inputs;
    }

    public OnnxModel Model { get; }

    /// <summary>The model file and its external data files.</summary>
    public IReadOnlyList<string> Files { get; }

    /// <summary>Bytes of all files.</summary>
    public long Size { get; }

    public string Sha256 { get; }

    public IReadOnlyList<ValueDescription> Inputs { get; }

    private string Path => Files[0];

    /// <exception cref="ModelBuildException">MBT1009, MBT2001-2003: no readable model.</exception>
    public static Original Open(string path, CancellationToken cancellation)
    {
        if (Directory.Exists(path))
            throw new ModelBuildException(DiagnosticCodes.NotAModel, $"'{path}' is a folder, not a model file");
        if (!File.Exists(path))
            throw new ModelBuildException(DiagnosticCodes.FileNotFound, $"model '{path}' does not exist");
        var model = OnnxModel.Load(path);
        try
        {
            var files = model.Payloads.Files;
            return new(model, files, files.Sum(f => new FileInfo(f).Length), ContentHash.OfFiles(files, cancellation));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            model.Dispose();
            throw new ModelBuildException(DiagnosticCodes.FileNotFound, $"model '{path}' cannot be read: {e.Message}", inner: e);
        }
        catch
        {
            model.Dispose();
            throw;
        }
    }

    /// <summary>Loads the model into ONNX Runtime.</summary>
    /// <exception cref="ModelBuildException">MBT2004: it is refused.</exception>
    public void CheckThatItLoads()
    {
        try
        {
            using var session = new Session(Path);
        }
        catch (OnnxRuntimeException e)
        {
            throw new ModelBuildException(DiagnosticCodes.OriginalDoesNotRun, $"ONNX Runtime does not load '{Path}': {OnnxRuntimeText.OneLine(e)}", inner: e);
        }
    }

    /// <summary>Why the model does not run on the data's first batch; null when it runs.</summary>
    public string? WhyItDoesNotRun(IDataset data, CancellationToken cancellation)
    {
        using var session = new Session(Path);
        try
        {
            if (data.Batches().FirstOrDefault() is { } batch)
                session.Run(batch.Inputs, cancellation: cancellation);
            return null;
        }
        catch (OnnxRuntimeException e)
        {
            return OnnxRuntimeText.OneLine(e);
        }
    }

    /// <summary>Writes the untouched model: byte for byte, and with its external data put inside where it has some.</summary>
    /// <exception cref="ModelBuildException">MBT2007: it cannot be written.</exception>
    public void CopyTo(string path, long inlineLimit, CancellationToken cancellation)
    {
        if (Files.Count == 1)
            Failures.Writing(path, () => ContentHash.Copy(Path, path, cancellation));
        else
            ModelWriter.Save(Model, path, inlineLimit);
    }

    public void Dispose() => Model.Dispose();
}
