using System.Diagnostics;
using System.Globalization;
using System.Text;
using Microsoft.Build.Framework;
using Microsoft.Build.Utilities;

namespace ModelBuildTasks;

/// <summary>
/// Starts the worker, which compresses the models of a project in a process of its own: what goes wrong in native code there
/// fails one task and not the build, and a build node that lives on locks nothing but this small assembly.
/// </summary>
[MSBuildMultiThreadableTask]
public sealed class CompressModels : ToolTask
{
    private const int WorkerFailed = 1;
    private const int TailLength = 10;

    // What the .NET host returns when no fitting runtime is installed; on Unix only the low byte is left.
    private const int RuntimeMissing = unchecked((int)0x80008096);

    private readonly Queue<string> _tail = new();
    private readonly object _lock = new();
    private bool _canceled;

    /// <summary>The manifests.</summary>
    [Required]
    public ITaskItem[] Manifests { get; set; } = [];

    /// <summary>Full path of <c>modelbuild.dll</c>.</summary>
    [Required]
    public string WorkerPath { get; set; } = "";

    /// <summary>Full path of the project's folder.</summary>
    [Required]
    public string ProjectDirectory { get; set; } = "";

    /// <summary>Full path of the folder for the outputs.</summary>
    [Required]
    public string OutputDirectory { get; set; } = "";

    /// <summary>Full path of the cache.</summary>
    [Required]
    public string CacheDirectory { get; set; } = "";

    /// <summary>The accessor's namespace.</summary>
    public string? Namespace { get; set; }

    /// <summary>False passes the originals through.</summary>
    public bool Enabled { get; set; } = true;

    /// <summary>True writes the accessor alone, without compressing.</summary>
    public bool PlanOnly { get; set; }

    /// <summary>Threads to use at most; empty for as many as the build has.</summary>
    public string? MaxCpuCount { get; set; }

    /// <summary>The host that runs MSBuild, where it is known.</summary>
    public string? DotNetHostPath { get; set; }

    /// <summary>The folder of the host that the SDK belongs to, where it is known.</summary>
    public string? NetCoreRoot { get; set; }

    /// <summary>Whether <see cref="WorkerPath"/> is the user's choice, which is then trusted to fit the platform.</summary>
    public bool CustomWorker { get; set; }

    internal Func<string> CurrentPlatform { get; set; } = Platform.Current;

    private string RequestPath => Path.Combine(OutputDirectory, PlanOnly ? "plan.request" : "build.request");

    /// <inheritdoc/>
    protected override string ToolName => "dotnet";

    /// <inheritdoc/>
    protected override Encoding StandardOutputEncoding => Encoding.UTF8;

    /// <inheritdoc/>
    protected override Encoding StandardErrorEncoding => Encoding.UTF8;

    /// <inheritdoc/>
    protected override MessageImportance StandardErrorLoggingImportance => MessageImportance.Low;

    /// <inheritdoc/>
    public override bool Execute()
    {
        YieldDuringToolExecution = true;
        if (!File.Exists(WorkerPath))
            return Fail(Codes.WorkerNotFound, $"The worker '{WorkerPath}' does not exist. {(CustomWorker ? "ModelBuildWorkerPath names it; it must be the full path of a modelbuild.dll." : "The package is damaged: delete it from the package folder and restore again.")}");
        if (Host is null)
            return Fail(Codes.WorkerNotFound, "No 'dotnet' was found to run the worker: neither DOTNET_HOST_PATH nor NetCoreRoot nor PATH leads to one.");
        if (!PlatformFits())
            return false;
        if (Threads() is not { } threads)
            return Fail(Codes.InvalidValue, $"ModelBuildMaxCpuCount is '{MaxCpuCount}' and must be a whole number from 1.");
        try
        {
            WriteRequest(threads);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return Fail(Codes.CannotWrite, $"'{RequestPath}' cannot be written: {e.Message} Make the folder writable or free space on its disk.");
        }

        return base.Execute();
    }

    /// <inheritdoc/>
    public override void Cancel()
    {
        _canceled = true;
        base.Cancel();
    }

    /// <inheritdoc/>
    protected override string GenerateFullPathToTool() => Host!;

    /// <inheritdoc/>
    protected override string GetWorkingDirectory() => ProjectDirectory;

    /// <inheritdoc/>
    protected override string GenerateCommandLineCommands()
    {
        var command = new CommandLineBuilder();
        command.AppendSwitch("exec");
        command.AppendFileNameIfNotNull(WorkerPath);
        command.AppendSwitch("build");
        command.AppendSwitch("--request");
        command.AppendFileNameIfNotNull(RequestPath);
        if (PlanOnly)
            command.AppendSwitch("--plan");
        return command.ToString();
    }

    /// <inheritdoc/>
    protected override void LogToolCommand(string message) => Log.LogCommandLine(MessageImportance.Low, message);

    /// <inheritdoc/>
    protected override void LogEventsFromTextOutput(string singleLine, MessageImportance messageImportance)
    {
        if (string.IsNullOrWhiteSpace(singleLine))
            return;
        if (CanonicalLine.Parse(singleLine) is { } line)
        {
            if (line.IsError)
                Log.LogError(null, line.Code, null, line.File, line.Line, line.Column, line.EndLine, line.EndColumn, "{0}", line.Text);
            else
                Log.LogWarning(null, line.Code, null, line.File, line.Line, line.Column, line.EndLine, line.EndColumn, "{0}", line.Text);
        }
        else if (singleLine.StartsWith("> ", StringComparison.Ordinal))
        {
            Log.LogMessage(MessageImportance.High, "{0}", singleLine.Substring(2));
        }
        else
        {
            lock (_lock)
            {
                _tail.Enqueue(singleLine.Trim());
                if (_tail.Count > TailLength)
                    _tail.Dequeue();
            }
            Log.LogMessage(messageImportance, "{0}", singleLine.TrimEnd());
        }
    }

    /// <inheritdoc/>
    protected override bool HandleTaskExecutionErrors()
    {
        if (_canceled || ExitCode == WorkerFailed && Log.HasLoggedErrors)
            return false;
        if (ExitCode is RuntimeMissing or (RuntimeMissing & 0xFF))
            return Fail(Codes.WorkerNotFound, $"The worker needs the .NET 10 runtime or a newer one, and '{Host}' has none. {Tail()}");
        if (!Log.HasLoggedErrors)
            return Fail(Codes.WorkerCrashed, $"The worker ended abnormally ({ExitMeaning()}). This is a bug, or a processor or system that ONNX Runtime does not run on. {Tail()}");
        return false;
    }

    private string? Host => DotNetHost.Find(DotNetHostPath, NetCoreRoot, Environment.GetEnvironmentVariable("PATH"));

    private bool PlatformFits()
    {
        // Neither the plan nor the originals need ONNX Runtime.
        if (CustomWorker || PlanOnly || !Enabled)
            return true;
        var supported = Platform.Supported(Path.GetDirectoryName(WorkerPath)!);
        var current = CurrentPlatform();
        return supported.Count == 0 || supported.Contains(current)
            || Fail(Codes.UnsupportedPlatform, $"There is no ONNX Runtime for {current} in the package, which has it for {string.Join(", ", supported)}. Set ModelBuildWorkerPath to the modelbuild.dll of a build of the tool for {current}, or ModelBuildEnabled to false to embed the original models.");
    }

    private int? Threads()
    {
        var wanted = Environment.ProcessorCount;
        if (!string.IsNullOrEmpty(MaxCpuCount) && (!int.TryParse(MaxCpuCount, NumberStyles.None, CultureInfo.InvariantCulture, out wanted) || wanted < 1))
            return null;
        // Asks the build for its share of the machine; yielding gives it back by itself.
        return !PlanOnly && BuildEngine is IBuildEngine9 engine ? Math.Max(1, engine.RequestCores(wanted)) : wanted;
    }

    private void WriteRequest(int threads)
    {
        using var self = Process.GetCurrentProcess();
        var request = new RequestFile()
            .Add("project", ProjectDirectory)
            .Add("output", OutputDirectory)
            .Add("cache", CacheDirectory)
            .Add("namespace", Namespace ?? "")
            .Add("enabled", Enabled ? "true" : "false")
            .Add("threads", threads.ToString(CultureInfo.InvariantCulture))
            .Add("parent", self.Id.ToString(CultureInfo.InvariantCulture));
        foreach (var manifest in Manifests)
            request.Add("manifest", manifest.GetMetadata("FullPath"));
        request.Save(RequestPath);
    }

    private string ExitMeaning() => ExitCode is > 128 and < 160 ? $"signal {ExitCode - 128}" : $"exit code {ExitCode}";

    private string Tail()
    {
        lock (_lock)
            return _tail.Count == 0 ? "It printed nothing." : "Its last lines: " + string.Join(" | ", _tail);
    }

    private bool Fail(string code, string message)
    {
        Log.LogError(null, code, null, null, 0, 0, 0, 0, "{0}", message);
        return false;
    }
}
