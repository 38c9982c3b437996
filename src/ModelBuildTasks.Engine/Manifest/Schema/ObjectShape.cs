using System.Text.Json.Nodes;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest.Yaml;

namespace ModelBuildTasks.Engine.Manifest.Schema;

/// <summary>A key of a mapping.</summary>
/// <param name="Name">The key.</param>
/// <param name="Shape">What stands under it.</param>
/// <param name="Meaning">What it says, in one sentence.</param>
internal sealed record Property(string Name, Shape Shape, string Meaning)
{
    /// <summary>Whether the mapping needs it.</summary>
    public bool Required { get; init; }

    /// <summary>The code of the error when a required key is missing.</summary>
    public string MissingCode { get; init; } = DiagnosticCodes.MissingKey;
}

/// <summary>A mapping with given keys.</summary>
/// <param name="Name">Its name in the JSON Schema.</param>
/// <param name="Meaning">What it says, in one sentence.</param>
/// <param name="Properties">Its keys.</param>
internal sealed record ObjectShape(string Name, string Meaning, IReadOnlyList<Property> Properties) : Shape
{
    // A longer list of keys says less than none.
    private const int MaxListed = 6;

    /// <summary>Keys that the contract names and that this version does not have.</summary>
    public IReadOnlyList<string> NotYet { get; init; } = [];

    /// <summary>Keys of which at most one may be given.</summary>
    public IReadOnlyList<string> Alternatives { get; init; } = [];

    /// <summary>Whether nothing at all may stand here in place of an empty mapping.</summary>
    public bool MayBeEmpty { get; init; }

    /// <summary>Keys of which at least one must be given.</summary>
    public IReadOnlyList<string> AnyOf { get; init; } = [];

    public IReadOnlyList<string> Keys => [.. Properties.Select(p => p.Name)];

    public override string Expected => Keys.Count > MaxListed ? "a mapping" : $"a mapping with {string.Join(", ", Keys)}";

    public override Value? Read(YamlNode node, string key, DiagnosticBag errors)
    {
        if (node is YamlScalar { Kind: ScalarKind.Null } && MayBeEmpty)
            return new ObjectValue(node.Location, [], []);
        if (node is not YamlMapping mapping)
            return WrongType(node, key, errors);

        var members = new List<Member>();
        var broken = new List<string>();
        foreach (var entry in mapping.Entries)
        {
            if (Properties.FirstOrDefault(p => p.Name == entry.Key.Text) is not { } property)
                broken.Add(Unknown(entry.Key, errors));
            else if (property.Shape.Read(entry.Value, property.Name, errors) is { } value)
                members.Add(new(property.Name, entry.Key.Location, value));
            else
                broken.Add(property.Name);
        }

        CheckKeys(mapping, key, broken, errors);
        return new ObjectValue(node.Location, members, broken);
    }

    public override JsonObject Json(JsonDefinitions definitions) => definitions.Reference(Name, () =>
    {
        var properties = new JsonObject();
        foreach (var property in Properties)
        {
            var json = property.Shape.Json(definitions);
            // In draft-07 nothing beside a $ref counts, so the sentence goes around it.
            properties[property.Name] = json.ContainsKey("$ref")
                ? new JsonObject { ["description"] = property.Meaning, ["allOf"] = new JsonArray(json) }
                : Described(json, property.Meaning);
        }

        var schema = new JsonObject
        {
            ["type"] = MayBeEmpty ? new JsonArray("object", "null") : "object",
            ["description"] = Meaning,
            ["properties"] = properties,
            ["additionalProperties"] = false,
        };
        if (Properties.Any(p => p.Required))
            schema["required"] = Names(Properties.Where(p => p.Required).Select(p => p.Name));
        if (Alternatives.Count > 0)
            schema["not"] = Both();
        if (AnyOf.Count > 0)
            schema["anyOf"] = new JsonArray([.. AnyOf.Select(k => new JsonObject { ["required"] = Names([k]) })]);
        return schema;
    });

    // Reports a key that does not belong here and tells which one was meant, as far as can be seen.
    private string Unknown(YamlScalar key, DiagnosticBag errors)
    {
        if (NotYet.Contains(key.Text))
        {
            errors.Error(DiagnosticCodes.NotAvailable, Scalars.NotYet(key.Text, Keys), key.Location);
            return key.Text;
        }

        var near = Suggestion.Nearest(key.Text, Keys);
        // Not misspelled, perhaps misplaced: a metric beside 'validate' instead of in it.
        var home = near is null ? Properties.FirstOrDefault(p => Inside(p.Shape)?.Keys.Contains(key.Text) == true) : null;
        var advice = home is null ? Suggestion.For(key.Text, Keys) : $"it belongs into '{home.Name}'";
        errors.Error(DiagnosticCodes.UnknownKey, $"unknown key {key.Description}; {advice}", key.Location);
        return near ?? key.Text;
    }

    private static ObjectShape? Inside(Shape shape) => shape as ObjectShape ?? (shape as UnionShape)?.Mapping as ObjectShape;

    // What the keys together must be.
    private void CheckKeys(YamlMapping mapping, string key, List<string> broken, DiagnosticBag errors)
    {
        var given = mapping.Entries.ToLookup(e => e.Key.Text, e => e.Key);
        // A key that was misspelled or that belongs to a later version has its own error.
        bool Missing(string name) => !given.Contains(name) && !broken.Contains(name);
        foreach (var property in Properties.Where(p => p.Required && Missing(p.Name)).ToList())
        {
            errors.Error(property.MissingCode, $"'{property.Name}' is missing here: {property.Shape.Expected}", mapping.Location);
            broken.Add(property.Name);
        }

        if (AnyOf.Count > 0 && AnyOf.All(Missing) && !broken.Any(NotYet.Contains))
        {
            errors.Error(DiagnosticCodes.MissingKey, $"'{key}' needs {string.Join(" or ", AnyOf)}", mapping.Location);
            broken.Add(AnyOf[0]);
        }

        List<YamlScalar> rivals = [.. Alternatives.SelectMany(a => given[a])];
        if (rivals.Count > 1)
        {
            errors.Error(DiagnosticCodes.InvalidValue, $"'{rivals[0].Text}' and '{rivals[1].Text}' exclude each other; keep one", rivals[1].Location);
            broken.Add(rivals[1].Text);
        }
    }

    // Two of the alternatives: with more than two, any pair of them.
    private JsonObject Both()
    {
        List<JsonObject> pairs = [.. Alternatives.SelectMany((a, i) => Alternatives.Skip(i + 1).Select(b => new JsonObject { ["required"] = Names([a, b]) }))];
        return pairs.Count == 1 ? pairs[0] : new() { ["anyOf"] = new JsonArray([.. pairs]) };
    }

    private static JsonObject Described(JsonObject json, string meaning)
    {
        json["description"] = json["description"] is JsonValue more ? $"{meaning} {more}" : meaning;
        return json;
    }

    private static JsonArray Names(IEnumerable<string> names) => [.. names.Select(n => (JsonNode)n)];
}

/// <summary>A mapping in one of several forms, told apart by a key that only one of them has: the first of its keys.</summary>
/// <param name="Name">Its name in the JSON Schema.</param>
/// <param name="Noun">What the forms are, in the singular.</param>
/// <param name="Forms">The forms.</param>
internal sealed record FormsShape(string Name, string Noun, IReadOnlyList<ObjectShape> Forms) : Shape
{
    /// <summary>Telling keys that the contract names and that this version does not have.</summary>
    public IReadOnlyList<string> NotYet { get; init; } = [];

    private IReadOnlyList<string> Tags => [.. Forms.Select(f => f.Keys[0])];

    public override string Expected => $"a mapping with one of {string.Join(", ", Tags)}";

    public override Value? Read(YamlNode node, string key, DiagnosticBag errors)
    {
        if (node is not YamlMapping mapping)
            return WrongType(node, key, errors);
        List<YamlScalar> later = [.. mapping.Entries.Select(e => e.Key).Where(k => NotYet.Contains(k.Text))];
        // The other keys belong to what is not there yet; nothing can be said of them.
        if (later.Count > 0)
        {
            errors.Error(DiagnosticCodes.NotAvailable, $"{Noun} {Scalars.NotYet(later[0].Text, Tags)}", later[0].Location);
            return null;
        }

        List<ObjectShape> forms = [.. Forms.Where(f => mapping.Entries.Any(e => e.Key.Text == f.Keys[0]))];
        if (forms.Count == 1)
            return forms[0].Read(node, key, errors) is ObjectValue value ? value with { Form = forms[0].Keys[0] } : null;
        if (forms.Count > 1)
        {
            var second = mapping.Entries.First(e => e.Key.Text == forms[1].Keys[0]).Key;
            errors.Error(DiagnosticCodes.InvalidValue, $"'{key}' has {string.Join(" and ", forms.Select(f => $"'{f.Keys[0]}'"))}; a {Noun} is one of them", second.Location);
            return null;
        }

        var foreign = mapping.Entries.Where(e => !Forms.Any(f => f.Keys.Contains(e.Key.Text))).ToList();
        foreach (var entry in foreign)
            errors.Error(DiagnosticCodes.UnknownKey, $"unknown key {entry.Key.Description}; {Suggestion.For(entry.Key.Text, Tags)}", entry.Key.Location);
        if (foreign.Count == 0)
            errors.Error(DiagnosticCodes.MissingKey, $"'{key}' wants {Expected}", mapping.Location);
        return null;
    }

    public override JsonObject Json(JsonDefinitions definitions) => definitions.Reference(Name, () => new()
    {
        ["oneOf"] = new JsonArray([.. Forms.Select(f => f.Json(definitions))]),
    });
}
