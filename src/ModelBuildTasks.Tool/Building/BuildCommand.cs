using System.Text;
using ModelBuildTasks.Engine.Diagnostics;

namespace ModelBuildTasks.Tool.Building;

/// <summary>The hidden verb <c>build --request FILE [--plan]</c> that the MSBuild task starts.</summary>
internal static class BuildCommand
{
    private const int Done = 0, Failed = 1, WrongCall = 2, OurFault = 3;

    /// <summary>Runs a request with UTF-8 on standard output, whatever the machine's code page is: the task reads it so.</summary>
    public static int Run(string[] arguments)
    {
        using var output = new StreamWriter(Console.OpenStandardOutput(), new UTF8Encoding(false)) { AutoFlush = true };
        return Run(arguments, output);
    }

    /// <summary>Runs a request. Diagnostics go to <paramref name="output"/> as lines that MSBuild understands.</summary>
    /// <returns>0 done, 1 the manifest or a gate failed, 2 wrong call, 3 an internal error.</returns>
    public static int Run(string[] arguments, TextWriter output)
    {
        if (arguments is not ["--request", var file, .. var rest] || rest is not ([] or ["--plan"]))
        {
            output.WriteLine("modelbuild build --request FILE [--plan]");
            return WrongCall;
        }
        var log = new BuildLog(output, Directory.GetCurrentDirectory());
        try
        {
            var request = BuildRequest.Read(file);
            log = new BuildLog(output, request.ProjectDirectory);
            ParentWatch.Start(request.Parent);
            return (rest.Length == 1 ? BuildRun.Plan(request, log) : BuildRun.Compress(request, log)) ? Done : Failed;
        }
        catch (ModelBuildException e)
        {
            log.Write(e.Diagnostics);
            return Failed;
        }
        catch (Exception e) when (MissingLibrary(e) is { } library)
        {
            log.Write(new Diagnostic(DiagnosticCodes.UnsupportedPlatform, DiagnosticSeverity.Error,
                $"ONNX Runtime cannot be loaded by this .NET host ({System.Runtime.InteropServices.RuntimeInformation.RuntimeIdentifier}): {library.Message}"));
            return Failed;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            log.Write(new Diagnostic(DiagnosticCodes.CannotWrite, DiagnosticSeverity.Error, e.Message));
            log.Detail(e.ToString());
            return Failed;
        }
        catch (Exception e)
        {
            log.Write(new Diagnostic(DiagnosticCodes.InternalError, DiagnosticSeverity.Error, $"{e.GetType().Name}: {e.Message}"));
            log.Detail(e.ToString());
            return OurFault;
        }
    }

    private static DllNotFoundException? MissingLibrary(Exception? e) =>
        e is null ? null : e as DllNotFoundException ?? MissingLibrary(e.InnerException);
}
