using System.Text.Json.Nodes;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest.Yaml;

namespace ModelBuildTasks.Engine.Manifest.Schema;

/// <summary>What came of reading a scalar: its content, or what is wrong with it. Neither: it is of the wrong type.</summary>
internal readonly record struct Reading(object? Content, string? Problem = null, string Code = DiagnosticCodes.InvalidValue);

/// <summary>A scalar.</summary>
/// <param name="Words">The shape in words that follow "wants".</param>
/// <param name="Parse">Reads the scalar.</param>
/// <param name="Schema">The keywords of its JSON Schema.</param>
internal sealed record ScalarShape(string Words, Func<YamlScalar, Reading> Parse, Func<JsonObject> Schema) : Shape
{
    public override string Expected => Words;

    public override Value? Read(YamlNode node, string key, DiagnosticBag errors)
    {
        if (node is not YamlScalar scalar)
            return WrongType(node, key, errors);
        var reading = Parse(scalar);
        if (reading.Content is { } content)
            return new ScalarValue(node.Location, content);
        if (reading.Problem is null)
            return WrongType(node, key, errors);
        errors.Error(reading.Code, $"'{key}': {reading.Problem}", node.Location);
        return null;
    }

    public override JsonObject Json(JsonDefinitions definitions) => Schema();
}
