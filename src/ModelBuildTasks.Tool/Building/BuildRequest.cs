using System.Text;
using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Tool.Building;

/// <summary>What the build asks of the worker: lines of <c>key=value</c> in UTF-8, written by the task.</summary>
internal sealed record BuildRequest
{
    /// <summary>Full paths of the manifests.</summary>
    public required IReadOnlyList<string> Manifests { get; init; }

    /// <summary>The folder that the outputs go to; it belongs to the worker.</summary>
    public required string OutputDirectory { get; init; }

    /// <summary>The folder that relative paths in diagnostics refer to.</summary>
    public required string ProjectDirectory { get; init; }

    /// <summary>The content-addressed cache.</summary>
    public required string CacheDirectory { get; init; }

    /// <summary>Namespace of the accessor; may be empty.</summary>
    public string Namespace { get; init; } = "";

    /// <summary>False: the originals are the outputs.</summary>
    public bool Enabled { get; init; } = true;

    /// <summary>Threads to use.</summary>
    public int Threads { get; init; } = 1;

    /// <summary>The process without which the work is of no use, or 0.</summary>
    public int Parent { get; init; }

    /// <summary>From how many bytes of tensors on a model gets a data file; no request says so, tests do.</summary>
    public long InlineLimit { get; init; } = ModelWriter.InlineLimit;

    public static BuildRequest Read(string path)
    {
        var values = File.ReadAllLines(path, Encoding.UTF8)
            .Where(line => line.Contains('='))
            .ToLookup(line => line[..line.IndexOf('=')], line => line[(line.IndexOf('=') + 1)..]);
        string Value(string key) => values[key].LastOrDefault() ?? throw new InvalidDataException($"the request has no '{key}'");
        return new BuildRequest
        {
            Manifests = [.. values["manifest"]],
            OutputDirectory = Value("output"),
            ProjectDirectory = Value("project"),
            CacheDirectory = Value("cache"),
            Namespace = Value("namespace"),
            Enabled = bool.Parse(Value("enabled")),
            Threads = int.Parse(Value("threads")),
            Parent = int.Parse(Value("parent")),
        };
    }
}
