using System.Text.Json;
using System.Text.Json.Serialization;
using ModelBuildTasks.Engine.Diagnostics;

namespace ModelBuildTasks.Engine.Reporting;

/// <summary>Reads and writes <c>report.json</c>.</summary>
public static class ReportFile
{
    /// <summary>The file's name in an output folder.</summary>
    public const string Name = "report.json";

    private const long MaxBytes = 256L << 20;

    // The report is a file for people and tools, no part of a web page: "->" stays "->".
    private static readonly ReportJson Readable = new(new JsonSerializerOptions(ReportJson.Default.Options) { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping });

    /// <summary>The report as JSON text: camel case, indented, keys in a fixed order.</summary>
    public static string ToJson(Report report) => JsonSerializer.Serialize(report, Readable.Report) + "\n";

    /// <summary>Writes the report through a temporary file that is renamed at the end.</summary>
    /// <exception cref="ModelBuildException">MBT2007: the file cannot be written.</exception>
    public static void Write(Report report, string path)
    {
        var temporary = $"{path}.{Path.GetRandomFileName()}";
        try
        {
            Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
            File.WriteAllText(temporary, ToJson(report));
            File.Move(temporary, path, overwrite: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ModelBuildException(DiagnosticCodes.CannotWrite, $"'{path}' cannot be written: {e.Message}", inner: e);
        }
        finally
        {
            if (File.Exists(temporary))
                File.Delete(temporary);
        }
    }

    /// <summary>Reads a report; null when the file is none that this version reads.</summary>
    public static Report? TryRead(string path)
    {
        try
        {
            using var stream = File.OpenRead(path);
            var report = stream.Length > MaxBytes ? null : JsonSerializer.Deserialize(stream, ReportJson.Default.Report);
            return report is { Version: 1, Targets: not null } ? report : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or JsonException)
        {
            return null;
        }
    }
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, WriteIndented = true, NewLine = "\n")]
[JsonSerializable(typeof(Report))]
internal sealed partial class ReportJson : JsonSerializerContext;
