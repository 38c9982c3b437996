using System.CommandLine;
using System.Text.Json;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Pipeline;
using ModelBuildTasks.Engine.Reporting;

namespace ModelBuildTasks.Tool;

/// <summary><c>modelbuild validate ORIGINAL COMPRESSED</c>: how far a model differs from its original.</summary>
internal static class ValidateVerb
{
    public static Command Create(Terminal terminal)
    {
        var original = new Argument<string>("ORIGINAL") { Description = "The original model." };
        var compressed = new Argument<string>("COMPRESSED") { Description = "The model that was made of it." };
        var data = Options.Data();
        var threads = Options.Threads();
        var json = Options.Json();
        var latency = Options.Latency();
        var command = new Command("validate", "Run two models on the same data and compare what they give.") { original, compressed, data, threads, json, latency };
        command.SetAction((parsed, cancellation) => Verb.RunAsync(terminal, parsed.GetValue(json), () =>
        {
            var request = new ComparisonRequest(
                CommandLineFile.Existing(parsed.GetRequiredValue(original), "model"),
                CommandLineFile.Existing(parsed.GetRequiredValue(compressed), "model"))
            {
                Data = CommandLineFile.Dataset(parsed.GetValue(data)),
                MeasureLatency = parsed.GetValue(latency),
                Threads = parsed.GetValue(threads),
            };
            var report = Progress.Show(terminal, parsed.GetValue(json), say => Comparison.Run(request, say, cancellation));
            if (!parsed.GetValue(json))
            {
                terminal.Out.WriteLine($"{report.Samples} samples of {report.Data}");
                MetricTable.Write(terminal, report);
                if (report.Latency is { } l)
                    terminal.Out.WriteLine($"latency ratio {Engine.Validation.GateText.Number(l.Ratio, 3)}");
            }

            Diagnostic[] diagnostics = report.Passed
                ? []
                : [new(DiagnosticCodes.ArtifactDoesNotRun, DiagnosticSeverity.Error, $"'{request.Compressed}' gives NaN or infinity where '{request.Original}' gives numbers")];
            return new(Verb.CodeFor(diagnostics), diagnostics, "validation", JsonSerializer.Serialize(report, ReportJson.Default.ValidationReport));
        }, cancellation));
        return command;
    }
}
