using System.CommandLine;

namespace ModelBuildTasks.Tool;

/// <summary>The command line of <c>modelbuild</c>.</summary>
internal static class ModelBuildCommand
{
    /// <summary>The command with its verbs.</summary>
    public static RootCommand Create(Terminal terminal) => new("Compresses ONNX models, and checks what it made.")
    {
        CompressVerb.Create(terminal),
        InspectVerb.Create(terminal),
        PlanVerb.Create(terminal),
        ValidateVerb.Create(terminal),
    };

    /// <summary>Parses and runs a command line; returns the exit code.</summary>
    public static async Task<int> RunAsync(string[] args, Terminal terminal)
    {
        var parsed = Create(terminal).Parse(args);
        if (parsed.Errors.Count > 0)
        {
            foreach (var error in parsed.Errors)
                await terminal.Error.WriteLineAsync($"modelbuild: {error.Message}");
            await terminal.Error.WriteLineAsync("Try 'modelbuild --help', or 'modelbuild VERB --help'.");
            return ExitCode.WrongCall;
        }

        return await parsed.InvokeAsync(new InvocationConfiguration { Output = terminal.Out, Error = terminal.Error, EnableDefaultExceptionHandler = false });
    }
}
