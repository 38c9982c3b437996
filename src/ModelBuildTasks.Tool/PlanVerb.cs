using System.CommandLine;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Pipeline;
using ModelBuildTasks.Engine.Reporting;
using ModelBuildTasks.Engine.Validation;

namespace ModelBuildTasks.Tool;

/// <summary><c>modelbuild plan</c>: what the passes would do, by running them; nothing is kept.</summary>
internal static class PlanVerb
{
    public static Command Create(Terminal terminal)
    {
        var manifest = new Option<string>("--manifest") { Description = "The manifest whose targets are planned.", HelpName = "FILE", Required = true };
        var target = new Option<string?>("--target") { Description = "Only the target of this name.", HelpName = "NAME" };
        var threads = Options.Threads();
        var json = Options.Json();
        var command = new Command("plan", "Show what each pass would do, why, and what it saves and loses; writes nothing.") { manifest, target, threads, json };
        command.SetAction((parsed, cancellation) => Verb.RunAsync(
            terminal, parsed.GetValue(json), () => Plan(terminal, parsed.GetRequiredValue(manifest), parsed.GetValue(target), parsed.GetValue(threads), parsed.GetValue(json), cancellation), cancellation));
        return command;
    }

    private static VerbResult Plan(Terminal terminal, string manifest, string? target, int threads, bool json, CancellationToken cancellation)
    {
        var plan = ManifestReader.Read(CommandLineFile.Existing(manifest, "manifest"));
        if (target is not null && plan.Targets.All(t => t.Name != target))
            throw new WrongCallException(DiagnosticCodes.UnknownName, $"'{manifest}' has no target '{target}'; it has {string.Join(", ", plan.Targets.Select(t => t.Name))}");
        // The passes are those of a build. What they make goes into a folder that nobody keeps.
        var folder = Directory.CreateTempSubdirectory("modelbuild-plan-").FullName;
        try
        {
            var request = new CompressionRequest(plan, folder) { Threads = threads, Target = target, Validate = false, Check = false };
            var result = Progress.Show(terminal, json, say => Compressor.Run(request, say, cancellation));
            if (!json)
            {
                foreach (var report in result.Report.Targets)
                    Write(terminal, report);
            }

            var diagnostics = result.Targets.SelectMany(t => t.Diagnostics).ToList();
            return new(Verb.CodeFor(diagnostics), diagnostics, "plan", json ? ReportFile.ToJson(result.Report) : null);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static void Write(Terminal terminal, TargetReport report)
    {
        var size = report.Artifact is { } artifact ? $"{GateText.Bytes(report.Model.Size)} to {GateText.Bytes(artifact.Size)}{(artifact.PackedSize == artifact.Size ? "" : $", {GateText.Bytes(artifact.PackedSize)} packed")}" : "nothing";
        terminal.Out.WriteLine();
        terminal.Out.WriteLine($"{report.Name} ({report.Policy}): {size}{(report.OutcomeReason is { } why ? $"; {why}" : "")}");
        terminal.Table(["pass", "what it would do"], [.. report.Passes.Select(p => (IReadOnlyList<string>)[p.Name, p.Summary])]);
        terminal.Table(
            ["layer", "operator", "decision", "bytes before", "bytes after", "reason"],
            [.. report.Layers.Select(l => (IReadOnlyList<string>)[l.Name, l.Op, l.Decision, GateText.Bytes(l.BytesBefore), GateText.Bytes(l.BytesAfter), l.Reason])]);
    }
}
