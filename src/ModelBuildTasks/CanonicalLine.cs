using System.Globalization;
using System.Text.RegularExpressions;

namespace ModelBuildTasks;

/// <summary>A diagnostic as the worker prints it: <c>file(line,column,endLine,endColumn): error MBT1002: text</c>, the span's end or all of it left out.</summary>
internal sealed class CanonicalLine
{
    private static readonly Regex Form = new(
        @"^(?<file>.+?)(\((?<line>\d+),(?<column>\d+)(,(?<endLine>\d+),(?<endColumn>\d+))?\))?: (?<severity>error|warning) (?<code>MBT\d{4}): (?<text>.*)$",
        RegexOptions.CultureInvariant | RegexOptions.ExplicitCapture);

    private CanonicalLine(Match match)
    {
        var file = match.Groups["file"].Value;
        // The tool's own name stands for "no file"; MSBuild then shows the project.
        File = file == "ModelBuildTasks" ? null : file;
        Line = Number(match, "line");
        Column = Number(match, "column");
        EndLine = Number(match, "endLine");
        EndColumn = Number(match, "endColumn");
        IsError = match.Groups["severity"].Value == "error";
        Code = match.Groups["code"].Value;
        Text = match.Groups["text"].Value;
    }

    public string? File { get; }

    public int Line { get; }

    public int Column { get; }

    public int EndLine { get; }

    public int EndColumn { get; }

    public bool IsError { get; }

    public string Code { get; }

    public string Text { get; }

    public static CanonicalLine? Parse(string line) => Form.Match(line) is { Success: true } match ? new CanonicalLine(match) : null;

    private static int Number(Match match, string group) =>
        int.TryParse(match.Groups[group].Value, NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : 0;
}
