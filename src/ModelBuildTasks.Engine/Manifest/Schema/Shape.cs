using System.Text.Json.Nodes;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest.Yaml;

namespace ModelBuildTasks.Engine.Manifest.Schema;

/// <summary>What may stand at a place of a YAML file. It checks a node, and it describes itself as JSON Schema, so that the two cannot differ.</summary>
internal abstract record Shape
{
    /// <summary>The shape in words that follow "wants".</summary>
    public abstract string Expected { get; }

    /// <summary>Checks a node and reads it. What does not fit is reported; null when nothing of it is left.</summary>
    /// <param name="node">The node.</param>
    /// <param name="key">The key it stands under, for messages.</param>
    /// <param name="errors">Where errors go.</param>
    public abstract Value? Read(YamlNode node, string key, DiagnosticBag errors);

    /// <summary>The shape as JSON Schema (draft-07).</summary>
    public abstract JsonObject Json(JsonDefinitions definitions);

    protected Value? WrongType(YamlNode node, string key, DiagnosticBag errors)
    {
        errors.Error(DiagnosticCodes.WrongType, $"'{key}' wants {Expected}; found {node.Description}", node.Location);
        return null;
    }
}

/// <summary>A list of like items.</summary>
internal sealed record ListShape(Shape Item, int Min = 1, int Max = int.MaxValue) : Shape
{
    public override string Expected => (Min, Max) switch
    {
        _ when Min == Max => $"a list of {Min}, each {Item.Expected}",
        _ when Item is ScalarShape or UnionShape => $"a list, each item {Item.Expected}",
        _ => "a list of mappings",
    };

    public override Value? Read(YamlNode node, string key, DiagnosticBag errors)
    {
        if (node is not YamlSequence sequence)
            return WrongType(node, key, errors);
        if (sequence.Items.Count == 0 && Min > 0)
        {
            errors.Error(DiagnosticCodes.MissingKey, $"'{key}' is an empty list", node.Location);
            return null;
        }

        if (sequence.Items.Count < Min || sequence.Items.Count > Max)
        {
            errors.Error(DiagnosticCodes.WrongType, $"'{key}' wants {Expected}; found {sequence.Items.Count}", node.Location);
            return null;
        }

        List<Value> items = [.. sequence.Items.Select(i => Item.Read(i, key, errors)).OfType<Value>()];
        return new ListValue(node.Location, items, items.Count == sequence.Items.Count);
    }

    public override JsonObject Json(JsonDefinitions definitions)
    {
        var json = new JsonObject { ["type"] = "array", ["items"] = Item.Json(definitions) };
        if (Min > 0)
            json["minItems"] = Min;
        if (Max < int.MaxValue)
            json["maxItems"] = Max;
        return json;
    }
}

/// <summary>A mapping whose keys the user chooses.</summary>
internal sealed record MapShape(string KeyMeaning, Shape Item, bool MayBeEmpty = false) : Shape
{
    public override string Expected => $"a mapping by {KeyMeaning}";

    public override Value? Read(YamlNode node, string key, DiagnosticBag errors)
    {
        if (node is YamlScalar { Kind: ScalarKind.Null } && MayBeEmpty)
            return new ObjectValue(node.Location, [], []);
        if (node is not YamlMapping mapping)
            return WrongType(node, key, errors);
        if (mapping.Entries.Count == 0 && !MayBeEmpty)
        {
            errors.Error(DiagnosticCodes.MissingKey, $"'{key}' is empty; it wants {Expected}", node.Location);
            return null;
        }

        var members = new List<Member>();
        foreach (var entry in mapping.Entries)
        {
            if (entry.Key.Text.Length == 0)
                errors.Error(DiagnosticCodes.InvalidValue, $"'{key}' has an empty key where a name is wanted", entry.Key.Location);
            // A broken entry stays known by its name: what refers to it is not another error.
            else
                members.Add(new(entry.Key.Text, entry.Key.Location, Item.Read(entry.Value, entry.Key.Text, errors) ?? new ObjectValue(entry.Key.Location, [], [entry.Key.Text])));
        }

        return new ObjectValue(node.Location, members, members.Count == mapping.Entries.Count ? [] : [""]);
    }

    public override JsonObject Json(JsonDefinitions definitions)
    {
        var json = new JsonObject { ["type"] = MayBeEmpty ? new JsonArray("object", "null") : "object" };
        if (!MayBeEmpty)
            json["minProperties"] = 1;
        json["propertyNames"] = new JsonObject { ["minLength"] = 1 };
        json["additionalProperties"] = Item.Json(definitions);
        return json;
    }
}

/// <summary>Shapes that are told apart by what kind of node stands there.</summary>
internal sealed record UnionShape(Shape? Scalar, Shape? List, Shape? Mapping) : Shape
{
    private IEnumerable<Shape> Members => new[] { Scalar, List, Mapping }.OfType<Shape>();

    public override string Expected => string.Join(", or ", Members.Select(m => m.Expected));

    public override Value? Read(YamlNode node, string key, DiagnosticBag errors)
    {
        var shape = node switch { YamlScalar => Scalar, YamlSequence => List, _ => Mapping };
        // A scalar of the wrong type should be told all that would be right.
        if (shape is null || node is YamlScalar { Kind: ScalarKind.Null })
            return WrongType(node, key, errors);
        return shape.Read(node, key, errors);
    }

    public override JsonObject Json(JsonDefinitions definitions) => new()
    {
        ["anyOf"] = new JsonArray([.. Members.Select(m => m.Json(definitions))]),
    };
}
