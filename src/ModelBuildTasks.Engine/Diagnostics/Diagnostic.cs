namespace ModelBuildTasks.Engine.Diagnostics;

/// <summary>How much a diagnostic weighs.</summary>
public enum DiagnosticSeverity
{
    /// <summary>The job fails.</summary>
    Error,

    /// <summary>The job goes on; the user should act.</summary>
    Warning,
}

/// <summary>One message to the user, with a code that has a page in <c>docs/diagnostics</c>.</summary>
/// <param name="Code">A code of <see cref="DiagnosticCodes"/>, such as <c>MBT1001</c>.</param>
/// <param name="Severity">Whether the job fails by it.</param>
/// <param name="Message">One line of text.</param>
/// <param name="Location">Where the cause stands, when it stands in a file.</param>
public sealed record Diagnostic(string Code, DiagnosticSeverity Severity, string Message, SourceLocation? Location = null)
{
    /// <summary>The canonical line that MSBuild and IDEs parse: <c>file(line,column): error CODE: message</c>.</summary>
    public override string ToString()
    {
        var origin = Location is { } location ? location.ToString() : "ModelBuildTasks";
        var severity = Severity == DiagnosticSeverity.Error ? "error" : "warning";
        return $"{origin}: {severity} {Code}: {OneLine(Message)}";
    }

    private static string OneLine(string text) => text.ReplaceLineEndings(" ").Trim();
}
