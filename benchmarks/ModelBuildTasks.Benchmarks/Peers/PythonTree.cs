using System.Diagnostics;
using System.Text.Json;

namespace ModelBuildTasks.Benchmarks.Peers;

/// <summary>A model that the Python tool is to quantize; paths are relative to the list of jobs.</summary>
internal sealed record PythonJob(string Model, IReadOnlyList<string> Calibration, string Output);

/// <summary>What the Python tool made of a job.</summary>
/// <param name="Notes">Steps of the preparation that did not work.</param>
/// <param name="Settings">One entry a setting.</param>
internal sealed record PythonOutcome(IReadOnlyList<string> Notes, IReadOnlyList<PythonSetting> Settings);

/// <summary>One setting of the Python tool.</summary>
/// <param name="Name">One of <see cref="Names"/>.</param>
/// <param name="File">The model, or null.</param>
/// <param name="Error">Why there is none.</param>
/// <param name="Samples">Calibration runs that were used.</param>
/// <param name="Seconds">Time it took.</param>
internal sealed record PythonSetting(string Name, string? File, string? Error, int Samples, double Seconds)
{
    /// <summary>The settings that are tried, in order.</summary>
    public static IReadOnlyList<string> Names { get; } = ["MinMax", "Entropy", "Percentile", "dynamic", "dynamic, unprepared"];
}

/// <summary>A folder inside the tree that holds the Python tools, and the command that runs Python there.</summary>
internal sealed class PythonTree : IDisposable
{
    private static readonly TimeSpan s_limit = TimeSpan.FromMinutes(15);
    private static readonly JsonSerializerOptions s_json = new(JsonSerializerDefaults.Web);

    private readonly string _inside;
    private readonly IReadOnlyList<string> _command;

    /// <param name="tree">The tree's root, as seen from here.</param>
    /// <param name="command">Runs Python on paths of the tree.</param>
    public PythonTree(string tree, IReadOnlyList<string> command)
    {
        _command = command;
        _inside = $"/var/tmp/modelbuild-{Path.GetRandomFileName()}";
        Folder = Directory.CreateDirectory(Path.Join(tree, _inside)).FullName;
        File.Copy(Path.Combine(AppContext.BaseDirectory, "quantize.py"), Path.Combine(Folder, "quantize.py"));
    }

    /// <summary>The folder, as seen from here: what a job names is in it.</summary>
    public string Folder { get; }

    /// <summary>Runs one job.</summary>
    /// <exception cref="InvalidOperationException">Python ended without an outcome.</exception>
    public PythonOutcome Run(PythonJob job)
    {
        File.WriteAllText(Path.Combine(Folder, "jobs.json"), JsonSerializer.Serialize(new[] { job }, s_json));
        var outcomes = Path.Combine(Folder, "outcomes.json");
        File.Delete(outcomes);
        var start = new ProcessStartInfo(_command[0], [.. _command.Skip(1), $"{_inside}/quantize.py", $"{_inside}/jobs.json", $"{_inside}/outcomes.json"])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using var process = Process.Start(start) ?? throw new InvalidOperationException($"'{_command[0]}' does not start");
        // The tool reports its progress on both; only what was said last before a failure matters.
        var last = "";
        process.OutputDataReceived += (_, _) => { };
        process.ErrorDataReceived += (_, e) => last = string.IsNullOrWhiteSpace(e.Data) ? last : e.Data;
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        if (!process.WaitForExit(s_limit))
        {
            process.Kill(entireProcessTree: true);
            throw new InvalidOperationException($"Python was stopped after {s_limit.TotalMinutes} minutes");
        }

        process.WaitForExit();
        if (process.ExitCode != 0 || !File.Exists(outcomes))
            throw new InvalidOperationException($"Python ended with {process.ExitCode}: {last}");
        return JsonSerializer.Deserialize<PythonOutcome[]>(File.ReadAllText(outcomes), s_json)![0];
    }

    public void Dispose() => Directory.Delete(Folder, recursive: true);
}
