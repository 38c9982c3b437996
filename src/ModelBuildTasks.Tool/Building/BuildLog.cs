using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Pipeline;

namespace ModelBuildTasks.Tool.Building;

/// <summary>The worker's standard output: diagnostics in MSBuild's canonical form, summaries behind <c>&gt; </c>, and details.</summary>
internal sealed class BuildLog(TextWriter output, string projectDirectory)
{
    private readonly Lock _lock = new();
    private readonly ProgressTenths _tenths = new();

    public bool HasErrors { get; private set; }

    public void Write(IEnumerable<Diagnostic> diagnostics)
    {
        foreach (var diagnostic in diagnostics)
            Write(diagnostic);
    }

    public void Write(Diagnostic diagnostic)
    {
        HasErrors |= diagnostic.Severity == DiagnosticSeverity.Error;
        var origin = diagnostic.Location is { } location ? Origin(location) : "ModelBuildTasks";
        var severity = diagnostic.Severity == DiagnosticSeverity.Error ? "error" : "warning";
        Line($"{origin}: {severity} {diagnostic.Code}: {diagnostic.Message.ReplaceLineEndings(" ").Trim()}");
    }

    /// <summary>One line that everyone sees who looks at the log.</summary>
    public void Summary(string text) => Line("> " + text.ReplaceLineEndings(" "));

    public void Detail(string text)
    {
        foreach (var line in text.Split('\n'))
            Line("  " + line.TrimEnd('\r'));
    }

    /// <summary>A line for each new step, and for each tenth of one that says more than how far it is, as training does; the fractions between are for people at a terminal.</summary>
    public void Progress(ProgressEvent progress)
    {
        lock (_lock)
        {
            if (!_tenths.Take(progress))
                return;
        }

        Detail($"{progress.Target}: {progress.Step}: {progress.Message}");
    }

    // Full paths, so that MSBuild, IDEs and terminals find the file from wherever they look; and the span's end, which the
    // diagnostic's own text leaves out.
    private string Origin(SourceLocation location)
    {
        var file = Path.GetFullPath(location.File, projectDirectory);
        return location switch
        {
            { Line: <= 0 } => file,
            { EndLine: > 0, EndColumn: > 0 } => $"{file}({location.Line},{location.Column},{location.EndLine},{location.EndColumn})",
            _ => $"{file}({location.Line},{location.Column})",
        };
    }

    private void Line(string text)
    {
        lock (_lock)
            output.WriteLine(text);
    }
}
