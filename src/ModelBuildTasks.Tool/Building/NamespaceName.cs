using System.Globalization;
using System.Text;

namespace ModelBuildTasks.Tool.Building;

/// <summary>Namespaces from project names, which may hold what C# does not allow: <c>my-app.3d</c> becomes <c>my_app._3d</c>.</summary>
internal static class NamespaceName
{
    private static readonly HashSet<string> Keywords = new(StringComparer.Ordinal)
    {
        "abstract", "as", "base", "bool", "break", "byte", "case", "catch", "char", "checked", "class", "const", "continue", "decimal",
        "default", "delegate", "do", "double", "else", "enum", "event", "explicit", "extern", "false", "finally", "fixed", "float", "for",
        "foreach", "goto", "if", "implicit", "in", "int", "interface", "internal", "is", "lock", "long", "namespace", "new", "null",
        "object", "operator", "out", "override", "params", "private", "protected", "public", "readonly", "ref", "return", "sbyte", "sealed",
        "short", "sizeof", "stackalloc", "static", "string", "struct", "switch", "this", "throw", "true", "try", "typeof", "uint", "ulong",
        "unchecked", "unsafe", "ushort", "using", "virtual", "void", "volatile", "while",
    };

    public static string Clean(string name) =>
        string.Join('.', name.Split('.', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).Select(Identifier));

    public static string Identifier(string name)
    {
        if (Keywords.Contains(name))
            return "@" + name;
        var text = new StringBuilder();
        foreach (var c in name)
        {
            var allowed = char.IsLetter(c) || c == '_' || char.GetUnicodeCategory(c) is UnicodeCategory.DecimalDigitNumber
                or UnicodeCategory.LetterNumber or UnicodeCategory.ConnectorPunctuation or UnicodeCategory.NonSpacingMark or UnicodeCategory.SpacingCombiningMark;
            text.Append(allowed ? c : '_');
        }
        return char.IsLetter(text[0]) || text[0] == '_' ? text.ToString() : "_" + text;
    }
}
