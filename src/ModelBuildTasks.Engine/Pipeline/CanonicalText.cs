using System.Collections;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Reflection;
using System.Text;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;

namespace ModelBuildTasks.Engine.Pipeline;

/// <summary>
/// The text of a plan's records for cache keys: every property by name, type names of records, no source locations.
/// Datasets and model files that a plan names are left out, too: their contents stand in the key.
/// Equal texts mean equal instructions, and an option added to a record is part of the key without anyone thinking of it.
/// </summary>
internal static class CanonicalText
{
    public static string Of(object? value)
    {
        var text = new StringBuilder();
        Append(text, value);
        return text.ToString();
    }

    private static void Append(StringBuilder text, object? value)
    {
        switch (value)
        {
            case null:
                text.Append("null");
                break;
            case string s:
                text.Append('"').Append(s.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal)).Append('"');
                break;
            case double d:
                text.Append(d.ToString("R", CultureInfo.InvariantCulture));
                break;
            case IFormattable f when value.GetType().IsPrimitive || value is Enum or decimal:
                text.Append(f.ToString(null, CultureInfo.InvariantCulture));
                break;
            case bool b:
                text.Append(b ? "true" : "false");
                break;
            // Tuples have no properties: without this, 2:4 and 4:8 would be the same key.
            case System.Runtime.CompilerServices.ITuple tuple:
                AppendAll(text, '(', Enumerable.Range(0, tuple.Length).Select(i => ("", tuple[i])), ')');
                break;
            case IDictionary map:
                AppendAll(text, '{', map.Keys.Cast<object>().Select(k => (Of(k), map[k])).OrderBy(p => p.Item1, StringComparer.Ordinal), '}');
                break;
            case IEnumerable list:
                AppendAll(text, '[', list.Cast<object?>().Select(v => ("", v)), ']');
                break;
            default:
                var type = value.GetType();
                AppendAll(text.Append(type.Name), '(', Properties(type).Select(p => (p.Name, p.GetValue(value))), ')');
                break;
        }
    }

    private static void AppendAll(StringBuilder text, char open, IEnumerable<(string Key, object? Value)> items, char close)
    {
        text.Append(open);
        foreach (var (key, value) in items)
        {
            text.Append(key).Append(':');
            Append(text, value);
            text.Append(';');
        }

        text.Append(close);
    }

    // A native program keeps the properties of this assembly's types, as its project says, and of no others: one that is missing would be an option
    // that changes the result and not the key.
    [UnconditionalSuppressMessage("Trimming", "IL2070", Justification = "This assembly is kept whole, and other types are refused.")]
    private static IEnumerable<PropertyInfo> Properties(Type type) => (type.Assembly == typeof(CanonicalText).Assembly
            ? type
            : throw new InvalidOperationException($"A plan holds a {type}, which the cache key cannot tell."))
        .GetProperties(BindingFlags.Public | BindingFlags.Instance)
        .Where(p => p.GetIndexParameters().Length == 0 && p.PropertyType != typeof(SourceLocation) && p.PropertyType != typeof(SourceLocation?)
            && p.PropertyType != typeof(DatasetUse) && p.PropertyType != typeof(ModelFile))
        .OrderBy(p => p.Name, StringComparer.Ordinal);
}
