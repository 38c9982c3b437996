using System.CommandLine;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Pipeline;
using ModelBuildTasks.Engine.Reporting;
using ModelBuildTasks.Engine.Validation;

namespace ModelBuildTasks.Tool;

/// <summary><c>modelbuild compress</c>: all targets of a manifest into a folder, or one model into one file.</summary>
internal static class CompressVerb
{
    public static Command Create(Terminal terminal)
    {
        var model = new Argument<string?>("MODEL") { Description = "A model to compress without a manifest.", Arity = ArgumentArity.ZeroOrOne };
        var manifest = new Option<string?>("--manifest") { Description = "The manifest whose targets are compressed.", HelpName = "FILE" };
        var output = new Option<string>("--output", "-o") { Description = "With a manifest the folder for the artifacts and report.json; with MODEL the file to write.", HelpName = "PATH", Required = true };
        var target = new Option<string?>("--target") { Description = "Only the target of this name.", HelpName = "NAME" };
        var recipe = new Option<string?>("--recipe") { Description = $"With MODEL: how to compress ({string.Join(", ", Recipes.Names)}); int8 unless told.", HelpName = "NAME" };
        var data = Options.Data();
        var threads = Options.Threads();
        var noValidate = new Option<bool>("--no-validate") { Description = "Do not run the result against the original." };
        var noCheck = new Option<bool>("--no-check") { Description = "Do not even load the result; the report says so." };
        var cache = new Option<string?>("--cache") { Description = "Folder that keeps artifacts by the hash of what made them.", HelpName = "DIR" };
        var json = Options.Json();
        var latency = Options.Latency();
        var command = new Command("compress", "Compress models and check the results.") { model, manifest, output, target, recipe, data, threads, noValidate, noCheck, cache, json, latency };
        command.Validators.Add(result =>
        {
            var single = result.GetValue(model) is not null;
            if (single == result.GetValue(manifest) is not null)
                result.AddError("give either --manifest FILE or a MODEL");
            else if (single && result.GetValue(target) is not null)
                result.AddError("--target belongs to --manifest");
            else if (!single && (result.GetValue(recipe) is not null || result.GetValue(data) is not null))
                result.AddError("--recipe and --data belong to a MODEL; a manifest says these itself");
        });
        command.SetAction((parsed, cancellation) => Verb.RunAsync(terminal, parsed.GetValue(json), () =>
        {
            var request = new CompressionRequest(new("", new Dictionary<string, DatasetPlan>(), [], []), parsed.GetRequiredValue(output))
            {
                CacheDirectory = parsed.GetValue(cache),
                Threads = parsed.GetValue(threads),
                Target = parsed.GetValue(target),
                Validate = !parsed.GetValue(noValidate),
                Check = !parsed.GetValue(noCheck),
                MeasureLatency = parsed.GetValue(latency),
            };
            return parsed.GetValue(model) is { } path
                ? CompressModel(terminal, request, path, parsed.GetValue(recipe) ?? "int8", CommandLineFile.Dataset(parsed.GetValue(data)), parsed.GetValue(json), cancellation)
                : CompressManifest(terminal, request, parsed.GetValue(manifest)!, parsed.GetValue(json), cancellation);
        }, cancellation));
        return command;
    }

    private static VerbResult CompressManifest(Terminal terminal, CompressionRequest request, string manifest, bool json, CancellationToken cancellation)
    {
        var plan = ManifestReader.Read(CommandLineFile.Existing(manifest, "manifest"));
        if (request.Target is { } name && plan.Targets.All(t => t.Name != name))
            throw new WrongCallException(DiagnosticCodes.UnknownName, $"'{manifest}' has no target '{name}'; it has {string.Join(", ", plan.Targets.Select(t => t.Name))}");
        RefuseFileAsFolder(request.OutputDirectory);
        var result = Progress.Show(terminal, json, say => Compressor.Run(request with { Plan = plan }, say, cancellation));
        if (!json)
            WriteTable(terminal, result);
        return Result(result);
    }

    private static VerbResult CompressModel(Terminal terminal, CompressionRequest request, string model, string recipe, DatasetUse? data, bool json, CancellationToken cancellation)
    {
        if (!Recipes.Names.Contains(recipe))
            throw new WrongCallException(DiagnosticCodes.UnknownName, $"there is no recipe '{recipe}'; there are {string.Join(", ", Recipes.Names)}");
        CommandLineFile.Existing(model, "model");
        var output = Path.GetFullPath(request.OutputDirectory);
        if (Directory.Exists(output))
            throw new WrongCallException(DiagnosticCodes.CannotWrite, $"-o '{request.OutputDirectory}' is a folder; with a MODEL it names the file to write");
        if (string.Equals(output, Path.GetFullPath(model), OperatingSystem.IsLinux() ? StringComparison.Ordinal : StringComparison.OrdinalIgnoreCase))
            throw new WrongCallException(DiagnosticCodes.CannotWrite, "-o names the model itself; the original stays");
        var at = new SourceLocation(model);
        var name = Path.GetFileNameWithoutExtension(output);
        var target = new TargetPlan
        {
            Name = name,
            Location = at,
            ModelPath = Path.GetFullPath(model),
            ModelLocation = at,
            Runtime = RuntimePolicies.Get(RuntimePolicies.Default),
            Recipe = recipe,
            Passes = [.. Recipes.Passes(recipe).Select(p => p with { Location = at })],
            Rules = [.. Recipes.Rules(recipe)],
            Calibration = data,
            Validation = new(),
        };

        // The pipeline writes a folder with a report; one file is wanted, on the same volume.
        var folder = Path.Combine(Path.GetDirectoryName(output)!, $".{name}.{Path.GetRandomFileName()}");
        try
        {
            var plan = new Plan(Path.GetFullPath(model), new Dictionary<string, DatasetPlan>(), [target], []);
            var result = Progress.Show(terminal, json, say => Compressor.Run(request with { Plan = plan, OutputDirectory = folder }, say, cancellation));
            foreach (var file in result.Succeeded ? Directory.GetFiles(folder, name + ".onnx*") : [])
                Failures.Writing(output, () => File.Move(file, Path.GetFileName(file) == name + ".onnx" ? output : Path.Combine(Path.GetDirectoryName(output)!, Path.GetFileName(file)), overwrite: true));
            if (!json)
                WriteTable(terminal, result);
            return Result(result);
        }
        finally
        {
            if (Directory.Exists(folder))
                Directory.Delete(folder, recursive: true);
        }
    }

    private static void RefuseFileAsFolder(string path)
    {
        if (File.Exists(path))
            throw new WrongCallException(DiagnosticCodes.CannotWrite, $"-o '{path}' is a file; with a manifest it names a folder");
    }

    private static VerbResult Result(CompressionResult result)
    {
        var diagnostics = result.Targets.SelectMany(t => t.Diagnostics).ToList();
        return new(Verb.CodeFor(diagnostics), diagnostics, "report", ReportFile.ToJson(result.Report));
    }

    private static void WriteTable(Terminal terminal, CompressionResult result)
    {
        // The column is there where something is encoded; ratios are those of the bytes that the app carries.
        var packed = result.Targets.Any(t => t.Plan.Encoding != PackageEncoding.None);
        var rows = result.Report.Targets.Select(t => (IReadOnlyList<string>)
        [
            t.Name,
            t.Outcome,
            GateText.Bytes(t.Model.Size),
            t.Artifact is { } artifact ? GateText.Bytes(artifact.Size) : "",
            .. packed ? [t.Artifact is { } p ? GateText.Bytes(p.PackedSize) : ""] : Array.Empty<string>(),
            t.Artifact is { PackedSize: > 0 } a ? $"{GateText.Number((double)t.Model.Size / a.PackedSize, 2)}x" : "",
            MetricTable.Summary(t.Validation),
        ]).ToList();
        terminal.Table(["target", "outcome", "original", "artifact", .. packed ? ["packed"] : Array.Empty<string>(), "ratio", "checked"], rows);
    }
}
