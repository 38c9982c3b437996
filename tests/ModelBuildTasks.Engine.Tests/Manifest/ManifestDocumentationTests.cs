using System.Text.Json;
using System.Text.RegularExpressions;
using ModelBuildTasks.Engine.Manifest;

namespace ModelBuildTasks.Engine.Tests.Manifest;

[TestClass]
public sealed partial class ManifestDocumentationTests
{
    private static string Document => File.ReadAllText(Path.Combine(TestData.Root, "docs", "manifest.md")).ReplaceLineEndings("\n");

    [TestMethod]
    public void Every_key_of_the_schema_has_a_row_in_the_reference_and_every_row_a_key()
    {
        var documented = KeyRow().Matches(Document).SelectMany(m => KeyName().Matches(m.Groups[1].Value).Select(n => n.Groups[1].Value)).Distinct().Order(StringComparer.Ordinal).ToArray();
        var keys = Keys().Distinct().Order(StringComparer.Ordinal).ToArray();
        CollectionAssert.AreEqual(keys, documented, $"not documented: {string.Join(' ', keys.Except(documented))}; not in the schema: {string.Join(' ', documented.Except(keys))}");
    }

    [TestMethod]
    public void Every_recipe_runtime_and_word_of_the_schema_is_named()
    {
        using var schema = JsonDocument.Parse(ManifestReader.JsonSchema());
        foreach (var word in Words(schema.RootElement).Distinct())
            StringAssert.Contains(Document, $"`{word}`");
    }

    [TestMethod]
    public void Whole_manifests_in_the_reference_are_valid()
    {
        var examples = Example().Matches(Document).Select(m => m.Groups[1].Value).Where(t => t.Contains("version:", StringComparison.Ordinal)).ToList();
        Assert.IsNotEmpty(examples);
        foreach (var example in examples)
        {
            using var folder = new ManifestFolder("models/squeezenet.onnx", "models/mnist.onnx", "photos/1.jpg", "photos/labels.csv", "digits/images.gz", "digits/labels.gz", "models/vad.onnx", "speech/1.wav");
            var errors = folder.Errors(example);
            Assert.IsEmpty(errors, string.Join('\n', errors));
        }
    }

    private static List<string> Keys()
    {
        using var schema = JsonDocument.Parse(ManifestReader.JsonSchema());
        return [.. schema.RootElement.GetProperty("definitions").EnumerateObject()
            .Where(d => d.Value.TryGetProperty("properties", out _))
            .SelectMany(d => d.Value.GetProperty("properties").EnumerateObject().Select(p => p.Name))];
    }

    private static IEnumerable<string> Words(JsonElement element) => element.ValueKind switch
    {
        JsonValueKind.Object => element.EnumerateObject().SelectMany(p => p.Name == "enum" ? p.Value.EnumerateArray().Where(v => v.ValueKind == JsonValueKind.String).Select(v => v.GetString()!) : Words(p.Value)),
        JsonValueKind.Array => element.EnumerateArray().SelectMany(Words),
        _ => [],
    };

    // A table row whose first cell is keys: | `skip`, `take` | ...
    [GeneratedRegex(@"^\| ((?:`[a-z_0-9]+`(?:, )?)+) \|", RegexOptions.Multiline)]
    private static partial Regex KeyRow();

    [GeneratedRegex("`([a-z_0-9]+)`")]
    private static partial Regex KeyName();

    [GeneratedRegex("```yaml\n(.*?)```", RegexOptions.Singleline)]
    private static partial Regex Example();
}
