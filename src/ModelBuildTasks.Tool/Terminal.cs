using Spectre.Console;

namespace ModelBuildTasks.Tool;

/// <summary>Where a verb writes: results to <paramref name="Out"/>, diagnostics to <paramref name="Error"/>.</summary>
/// <param name="Out">Standard output.</param>
/// <param name="Error">Standard error.</param>
/// <param name="Interactive">Whether a person looks at a terminal: live progress and drawn tables, else plain lines.</param>
internal sealed record Terminal(TextWriter Out, TextWriter Error, bool Interactive)
{
    public static Terminal OfConsole()
    {
        Console.OutputEncoding = System.Text.Encoding.UTF8;
        var ci = Environment.GetEnvironmentVariable("CI") is { Length: > 0 } value && !value.Equals("false", StringComparison.OrdinalIgnoreCase);
        return new(Console.Out, Console.Error, !ci && !Console.IsOutputRedirected && !Console.IsErrorRedirected);
    }

    /// <summary>Writes a table: drawn on a terminal, else columns filled up with blanks.</summary>
    public void Table(IReadOnlyList<string> headers, IReadOnlyList<IReadOnlyList<string>> rows)
    {
        if (Interactive)
        {
            Draw(headers, rows);
            return;
        }

        var widths = headers.Select((h, i) => rows.Select(r => r[i].Length).Append(h.Length).Max()).ToList();
        foreach (var row in rows.Prepend(headers))
            Out.WriteLine(string.Join("  ", row.Select((cell, i) => cell.PadRight(widths[i]))).TrimEnd());
    }

    // By itself, so that the library is loaded only where it draws.
    private static void Draw(IReadOnlyList<string> headers, IReadOnlyList<IReadOnlyList<string>> rows)
    {
        var table = new Table().Border(TableBorder.Rounded);
        foreach (var header in headers)
            table.AddColumn(new TableColumn(Markup.Escape(header)));
        foreach (var row in rows)
            table.AddRow([.. row.Select(Markup.Escape)]);
        AnsiConsole.Write(table);
    }
}
