using System.Text.Json;
using System.Text.Json.Nodes;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Pipeline;

namespace ModelBuildTasks.Tool;

/// <summary>What a verb did.</summary>
/// <param name="ExitCode">What the program ends with.</param>
/// <param name="Diagnostics">Errors and warnings.</param>
/// <param name="Key">The result's key in the JSON document.</param>
/// <param name="Json">The result as JSON text, or null.</param>
internal sealed record VerbResult(int ExitCode, IReadOnlyList<Diagnostic> Diagnostics, string Key, string? Json);

/// <summary>What all verbs share: diagnostics on standard error, one JSON document, exit codes, no stack traces.</summary>
internal static class Verb
{
    private static readonly JsonSerializerOptions s_indented = new() { WriteIndented = true, NewLine = "\n" };

    /// <summary>Runs a verb away from the caller's thread, so that Ctrl-C finds someone who listens.</summary>
    public static Task<int> RunAsync(Terminal terminal, bool json, Func<VerbResult> action, CancellationToken cancellation) =>
        Task.Run(() => Run(terminal, json, action, cancellation), CancellationToken.None);

    private static int Run(Terminal terminal, bool json, Func<VerbResult> action, CancellationToken cancellation)
    {
        VerbResult result;
        try
        {
            result = action();
        }
        catch (WrongCallException e)
        {
            result = new(ExitCode.WrongCall, [e.Diagnostic], "", null);
        }
        catch (ModelBuildException e)
        {
            result = new(CodeFor(e.Diagnostics), e.Diagnostics, "", null);
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
        {
            terminal.Error.WriteLine("modelbuild: cancelled");
            return ExitCode.Cancelled;
        }
        catch (Exception e)
        {
            var diagnostic = Failures.Unforeseen(e, "", null);
            result = new(ExitCode.OurFault, [diagnostic], "", null);
        }

        foreach (var diagnostic in result.Diagnostics)
            terminal.Error.WriteLine(Line(diagnostic));
        if (json)
            terminal.Out.WriteLine(Document(result).ToJsonString(s_indented));
        return result.ExitCode;
    }

    /// <summary>3 for errors of ours and the environment's, 1 for others, 0 without errors.</summary>
    public static int CodeFor(IEnumerable<Diagnostic> diagnostics)
    {
        var errors = diagnostics.Where(d => d.Severity == DiagnosticSeverity.Error).ToList();
        return errors.Count == 0 ? ExitCode.Done : errors.Exists(d => d.Code.StartsWith("MBT9", StringComparison.Ordinal)) ? ExitCode.OurFault : ExitCode.Failed;
    }

    private static string Line(Diagnostic diagnostic) => diagnostic.Location is null
        ? diagnostic.ToString().Replace("ModelBuildTasks: ", "modelbuild: ", StringComparison.Ordinal)
        : diagnostic.ToString();

    private static JsonObject Document(VerbResult result)
    {
        var document = new JsonObject
        {
            ["succeeded"] = result.ExitCode == ExitCode.Done,
            ["diagnostics"] = new JsonArray([.. result.Diagnostics.Select(ToJson)]),
        };
        if (result.Json is not null)
            document[result.Key] = JsonNode.Parse(result.Json);
        return document;
    }

    private static JsonObject ToJson(Diagnostic diagnostic) => new()
    {
        ["code"] = diagnostic.Code,
        ["severity"] = diagnostic.Severity == DiagnosticSeverity.Error ? "error" : "warning",
        ["message"] = diagnostic.Message,
        ["file"] = diagnostic.Location?.File,
        ["line"] = diagnostic.Location?.Line,
        ["column"] = diagnostic.Location?.Column,
    };
}

/// <summary>The command line names something that is not there, or contradicts itself.</summary>
internal sealed class WrongCallException(string code, string message) : Exception(message)
{
    public Diagnostic Diagnostic => new(code, DiagnosticSeverity.Error, Message);
}
