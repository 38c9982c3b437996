using System.Globalization;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest.Yaml;

namespace ModelBuildTasks.Engine.Manifest.Schema;

/// <summary>The scalars of the manifest.</summary>
internal static partial class Scalars
{
    private const int MaxPatternLength = 1000;

    /// <summary>A text that is not taken for a number, a boolean or nothing.</summary>
    public static ScalarShape Text(string words) => new(
        words,
        s => s switch
        {
            { Kind: ScalarKind.Boolean or ScalarKind.Integer or ScalarKind.Float } => new(null, $"YAML reads {s.Text} as a {(s.Kind == ScalarKind.Boolean ? "boolean" : "number")}; write it in quotes", DiagnosticCodes.WrongType),
            { Kind: ScalarKind.Null } => default,
            { Text: "" } => new(null, "the text is empty"),
            _ when s.Text.Contains('\0') => new(null, "the text contains a NUL character"),
            _ => new(s.Text),
        },
        () => new() { ["type"] = "string", ["minLength"] = 1 });

    /// <summary>Any scalar, as it is written: column names, class names.</summary>
    public static ScalarShape Label(string words) => new(
        words,
        s => s.Kind == ScalarKind.Null ? default : new Reading(s.Text),
        () => new() { ["type"] = new JsonArray("string", "number", "boolean") });

    /// <summary>A header name or a 0-based index.</summary>
    public static ScalarShape Column { get; } = new(
        "a column's header name or 0-based index",
        s => s.Kind switch
        {
            ScalarKind.Text when s.Text.Length > 0 => new(s.Text),
            ScalarKind.Integer when int.TryParse(s.Text, NumberStyles.None, CultureInfo.InvariantCulture, out _) => new(s.Text),
            ScalarKind.Integer => new(null, $"{s.Text} is no index; columns count from 0"),
            _ => default,
        },
        () => new() { ["type"] = new JsonArray("string", "integer"), ["minimum"] = 0, ["minLength"] = 1 });

    public static ScalarShape Boolean { get; } = new(
        "true or false",
        s => s.Kind == ScalarKind.Boolean ? new(s.Text[0] is 't' or 'T') : default,
        () => new() { ["type"] = "boolean" });

    /// <summary>A whole number.</summary>
    public static ScalarShape Integer(long min, long max = int.MaxValue) => new(
        $"a whole number from {min}",
        s => s.Kind != ScalarKind.Integer ? default
            : long.TryParse(s.Text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var value) && value >= min && value <= max ? new(value)
            : new(null, max > int.MaxValue ? $"{s.Text} is out of range (it is at least {min})" : $"{s.Text} is out of range ({min} to {max})"),
        () => new() { ["type"] = "integer", ["minimum"] = min, ["maximum"] = max });

    /// <summary>A finite number.</summary>
    public static ScalarShape Number(double min = double.MinValue, double max = double.MaxValue, bool above = false) => new(
        "a number",
        s => s.Kind is not (ScalarKind.Integer or ScalarKind.Float) ? default
            : CoreSchema.Number(s.Text) is not { } value ? new(null, $"{s.Text} is not a finite number")
            : InRange(value, min, max, above) is { } problem ? new(null, problem)
            : new(value),
        () => Range(new() { ["type"] = "number" }, min, max, above));

    /// <summary>A number, with or without a percent sign; both ranges are of the number as it is written.</summary>
    public static ScalarShape Quantity(string words, double min = double.MinValue, double max = double.MaxValue, double maxPercent = 100, bool above = false) => new(
        words,
        s =>
        {
            if (s.Kind is ScalarKind.Integer or ScalarKind.Float)
            {
                return CoreSchema.Number(s.Text) is not { } bare ? new(null, $"{s.Text} is not a finite number")
                    : InRange(bare, min, max, above) is { } tooFar ? new(null, tooFar)
                    : new(new Quantity(bare, false));
            }

            if (PercentPattern().Match(s.Text) is not { Success: true } match || CoreSchema.Number(match.Groups[1].Value) is not { } percent)
                return default;
            // Negative shares exist for no metric, whatever its bare range.
            return InRange(percent, 0, maxPercent, above, " %") is { } problem ? new(null, problem) : new(new Quantity(percent / 100, true));
        },
        () => new()
        {
            ["anyOf"] = new JsonArray(
                Range(new() { ["type"] = "number" }, min, max, above),
                new JsonObject { ["type"] = "string", ["pattern"] = PercentText }),
        });

    /// <summary>A number of bytes, with a unit or plain.</summary>
    public static ScalarShape Bytes { get; } = new(
        "a size such as 1.4 MB, 460 kB or 1 MiB",
        s =>
        {
            if (s.Kind == ScalarKind.Float || SizePattern().Match(s.Text) is not { Success: true } match || CoreSchema.Number(match.Groups[1].Value) is not { } number)
                return default;
            if (s.Kind != ScalarKind.Integer && match.Groups[2].Length == 0)
                return default;
            var bytes = Math.Floor(number * Unit(match.Groups[2].Value));
            return bytes is >= 1 and <= long.MaxValue / 2 ? new((long)bytes) : new(null, $"{s.Text} is no size of a file");
        },
        () => new()
        {
            ["anyOf"] = new JsonArray(
                new JsonObject { ["type"] = "integer", ["minimum"] = 1 },
                new JsonObject { ["type"] = "string", ["pattern"] = "^[0-9]+(\\.[0-9]+)? ?(B|kB|KB|MB|GB|KiB|MiB|GiB)$" }),
        });

    /// <summary>A regular expression that runs in linear time.</summary>
    public static ScalarShape Pattern { get; } = new(
        "a regular expression",
        s =>
        {
            if (s.Kind != ScalarKind.Text)
                return Text("").Parse(s);
            if (s.Text.Length > MaxPatternLength)
                return new(null, $"the regular expression is longer than {MaxPatternLength} characters");
            try
            {
                _ = new Regex(s.Text, RegexOptions.NonBacktracking | RegexOptions.CultureInvariant);
                return new(s.Text);
            }
            catch (ArgumentException invalid)
            {
                return new(null, $"not a regular expression: {invalid.Message}");
            }
            catch (NotSupportedException)
            {
                return new(null, "the regular expression uses lookarounds, backreferences, atomic groups or too many repetitions, which are not supported");
            }
        },
        () => new() { ["type"] = "string", ["minLength"] = 1, ["maxLength"] = MaxPatternLength });

    /// <summary>One of a few words.</summary>
    /// <param name="words">What can be said here, each with its meaning.</param>
    /// <param name="notYet">Words of later versions.</param>
    /// <param name="noun">What the words are: with one, a word that is none of them is an unknown name.</param>
    public static ScalarShape Choice(IReadOnlyList<(string Word, string Meaning)> words, IReadOnlyList<string>? notYet = null, string? noun = null)
    {
        List<string> names = [.. words.Select(w => w.Word)];
        return new(
            names.Count == 1 ? $"'{names[0]}'" : $"one of {string.Join(", ", names)}",
            s => s.Kind == ScalarKind.Null ? default
                : names.Contains(s.Text) ? new(s.Text)
                : notYet?.Contains(s.Text) == true ? new(null, NotYet(s.Text, names), DiagnosticCodes.NotAvailable)
                : new(null, $"unknown {noun ?? "value"} {s.Description}; {Suggestion.For(s.Text, names)}", noun is null ? DiagnosticCodes.InvalidValue : DiagnosticCodes.UnknownName),
            () => new()
            {
                ["enum"] = new JsonArray([.. names.Select(n => (JsonNode)n)]),
                ["description"] = string.Join("; ", words.Select(w => $"{w.Word}: {w.Meaning}")),
            });
    }

    /// <summary>One of a few words, or a text of a pattern.</summary>
    /// <param name="pattern">A regular expression of the text.</param>
    /// <param name="words">The text in words.</param>
    /// <param name="choice">The words.</param>
    public static ScalarShape ChoiceOr(string pattern, string words, ScalarShape choice) => new(
        $"{choice.Words} or {words}",
        // The words first: to build an automaton takes longer than many a model.
        s => choice.Parse(s) is var word && word.Problem is null ? word
            : Regex.IsMatch(s.Text, pattern, RegexOptions.CultureInvariant | RegexOptions.NonBacktracking) ? new(s.Text)
            : word is { Problem: { } problem, Code: DiagnosticCodes.InvalidValue } ? word with { Problem = $"{problem}, or {words}" } : word,
        () => new()
        {
            ["anyOf"] = new JsonArray(
                choice.Schema(),
                new JsonObject { ["type"] = new JsonArray("string", "integer"), ["pattern"] = pattern, ["description"] = words }),
        });

    /// <summary>What cannot be said here, whatever it is, and why.</summary>
    public static ScalarShape Never(string why) => new("nothing", _ => new(null, why), () => new() { ["not"] = new JsonObject() });

    public static string NotYet(string word, IReadOnlyList<string> names) =>
        $"'{word}' is not available in this version; available: {string.Join(", ", names)}";

    private static string? InRange(double value, double min, double max, bool above, string unit = "")
    {
        if (above ? value > min && value <= max : value >= min && value <= max)
            return null;
        var low = min == double.MinValue ? "" : above ? $"above {Text(min)}" : $"at least {Text(min)}";
        var high = max == double.MaxValue ? "" : $"at most {Text(max)}";
        return $"{Text(value)}{unit} is out of range (it is {string.Join(" and ", new[] { low, high }.Where(t => t.Length > 0))})";
    }

    private static string Text(double value) => value.ToString("R", CultureInfo.InvariantCulture);

    private static JsonObject Range(JsonObject json, double min, double max, bool above)
    {
        if (min != double.MinValue)
            json[above ? "exclusiveMinimum" : "minimum"] = JsonNumber(min);
        if (max != double.MaxValue)
            json["maximum"] = JsonNumber(max);
        return json;
    }

    private static JsonNode JsonNumber(double value) =>
        value == Math.Floor(value) && Math.Abs(value) < 1e15 ? JsonValue.Create((long)value) : JsonValue.Create(value);

    private static double Unit(string unit) => unit switch
    {
        "kB" or "KB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        "KiB" => 1L << 10,
        "MiB" => 1L << 20,
        "GiB" => 1L << 30,
        _ => 1,
    };

    private const string PercentText = "^[0-9]+(\\.[0-9]+)? ?%$";

    [GeneratedRegex("^([0-9]+(?:\\.[0-9]+)?) ?%$")]
    private static partial Regex PercentPattern();

    [GeneratedRegex("^([0-9]+(?:\\.[0-9]+)?) ?(B|kB|KB|MB|GB|KiB|MiB|GiB|)$")]
    private static partial Regex SizePattern();
}
