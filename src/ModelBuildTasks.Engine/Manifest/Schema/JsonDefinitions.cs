using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace ModelBuildTasks.Engine.Manifest.Schema;

/// <summary>The named parts of a JSON Schema.</summary>
internal sealed class JsonDefinitions
{
    private static readonly JsonSerializerOptions Layout = new()
    {
        WriteIndented = true,
        IndentSize = 2,
        NewLine = "\n",
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    private readonly SortedDictionary<string, JsonObject> _definitions = new(StringComparer.Ordinal);

    /// <summary>The text of a schema file for a shape.</summary>
    public static string Text(ObjectShape shape, string title)
    {
        var definitions = new JsonDefinitions();
        var root = shape.Json(definitions);
        var json = new JsonObject
        {
            ["$schema"] = "http://json-schema.org/draft-07/schema#",
            ["title"] = title,
            ["allOf"] = new JsonArray(root),
            ["definitions"] = new JsonObject([.. definitions._definitions.Select(d => KeyValuePair.Create<string, JsonNode?>(d.Key, d.Value))]),
        };
        return json.ToJsonString(Layout) + "\n";
    }

    /// <summary>A reference to the part of that name, which is made when it is first met.</summary>
    public JsonObject Reference(string name, Func<JsonObject> make)
    {
        if (_definitions.TryAdd(name, []))
            _definitions[name] = make();
        return new() { ["$ref"] = $"#/definitions/{name}" };
    }
}
