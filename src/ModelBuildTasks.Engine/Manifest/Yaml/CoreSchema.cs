using System.Globalization;

namespace ModelBuildTasks.Engine.Manifest.Yaml;

/// <summary>What an unquoted scalar stands for.</summary>
internal enum ScalarKind
{
    Null,
    Boolean,
    Integer,
    Float,
    Text,
}

/// <summary>The scalar rules of YAML 1.2's core schema, as editors apply them when they turn YAML into JSON.</summary>
internal static class CoreSchema
{
    public static ScalarKind KindOf(string text) => text switch
    {
        "" or "~" or "null" or "Null" or "NULL" => ScalarKind.Null,
        "true" or "True" or "TRUE" or "false" or "False" or "FALSE" => ScalarKind.Boolean,
        ".nan" or ".NaN" or ".NAN" => ScalarKind.Float,
        ".inf" or ".Inf" or ".INF" or "+.inf" or "+.Inf" or "+.INF" or "-.inf" or "-.Inf" or "-.INF" => ScalarKind.Float,
        _ when IsInteger(text) => ScalarKind.Integer,
        _ when IsFloat(text) => ScalarKind.Float,
        _ => ScalarKind.Text,
    };

    /// <summary>The value of a decimal number; null for infinities, NaN and what a double cannot hold.</summary>
    public static double? Number(string text) =>
        double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var value) && double.IsFinite(value) ? value : null;

    private static bool IsInteger(string text) => Digits(text, text[0] is '+' or '-' ? 1 : 0) == text.Length;

    private static bool IsFloat(string text)
    {
        var start = text[0] is '+' or '-' ? 1 : 0;
        var whole = Digits(text, start);
        var at = whole < 0 ? start : whole;
        if (at < text.Length && text[at] == '.')
        {
            var fraction = Digits(text, at + 1);
            if (fraction < 0 && whole < 0)
                return false;
            at = fraction < 0 ? at + 1 : fraction;
        }
        else if (whole < 0)
        {
            return false;
        }

        if (at < text.Length && text[at] is 'e' or 'E')
        {
            var sign = at + 1 < text.Length && text[at + 1] is '+' or '-' ? 1 : 0;
            at = Digits(text, at + 1 + sign);
        }

        return at == text.Length;
    }

    // The index behind a run of digits, or -1 where there is none.
    private static int Digits(string text, int start)
    {
        var at = start;
        while (at < text.Length && char.IsAsciiDigit(text[at]))
            at++;
        return at > start ? at : -1;
    }
}
