using System.Text.Json;

namespace ModelBuildTasks.Tool.Tests;

/// <summary>Runs command lines in this process and keeps what they print.</summary>
internal sealed class CommandLine : IDisposable
{
    public string Folder { get; } = Directory.CreateTempSubdirectory("mbt-tool-").FullName;

    public string Out { get; private set; } = "";

    public string Error { get; private set; } = "";

    public JsonElement Json => JsonDocument.Parse(Out).RootElement;

    public static string Data(string relative) => Path.Combine(AppContext.BaseDirectory, "data", relative);

    public string File(string name) => Path.Combine(Folder, name);

    /// <summary>Writes a manifest with one target of the digits model, and returns its path.</summary>
    public string Manifest(string targetOptions = "", string model = "mnist.onnx")
    {
        if (!System.IO.File.Exists(File("mnist.onnx")))
            System.IO.File.Copy(Data("mnist/mnist.onnx"), File("mnist.onnx"));
        var manifest = File("compression.yaml");
        System.IO.File.WriteAllText(manifest, $"version: 1\ntargets:\n  - model: {model}\n    name: Digits\n    recipe: int8\n{targetOptions}");
        return manifest;
    }

    public async Task<int> Run(params string[] args)
    {
        using var output = new StringWriter();
        using var error = new StringWriter();
        var code = await ModelBuildCommand.RunAsync(args, new Terminal(output, error, Interactive: false));
        Out = output.ToString();
        Error = error.ToString();
        Assert.DoesNotContain("   at ModelBuildTasks", Error, "no stack traces");
        return code;
    }

    public void Dispose() => Directory.Delete(Folder, recursive: true);
}
