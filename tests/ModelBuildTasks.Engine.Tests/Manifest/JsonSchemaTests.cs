using System.Text.Json;
using System.Text.Json.Nodes;
using CsCheck;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Manifest.Yaml;
using NJsonSchema;

namespace ModelBuildTasks.Engine.Tests.Manifest;

[TestClass]
public sealed class JsonSchemaTests
{
    private static readonly Lazy<Task<JsonSchema>> Schema = new(() => JsonSchema.FromJsonAsync(ManifestReader.JsonSchema()));

    [TestMethod]
    public void The_schema_file_is_the_one_that_the_parser_is_made_of()
    {
        var path = Path.Combine(TestData.Root, "build", "modelbuild.schema.json");
        if (Environment.GetEnvironmentVariable("MODELBUILD_UPDATE_SCHEMA") == "1")
            File.WriteAllText(path, ManifestReader.JsonSchema());
        Assert.AreEqual(
            ManifestReader.JsonSchema(),
            File.ReadAllText(path).ReplaceLineEndings("\n"),
            "build/modelbuild.schema.json is not what the parser checks; run this test with the environment variable MODELBUILD_UPDATE_SCHEMA=1 to write it anew");
    }

    [TestMethod]
    public async Task The_nine_models_are_valid() => Assert.IsEmpty(await Errors(NineModels.Text));

    [TestMethod]
    [DataRow("datasets:\ndefaults:\ntargets: [ { model: a, recipe: int8 } ]")]
    [DataRow("targets: [ { model: a, runtime: mine.yaml, recipe: { extends: int8, rules: [ { match: { op: Gemm }, quantize: none } ] } } ]")]
    [DataRow("targets: [ { model: a, passes: [ { prune: { amount: 50% } }, { quantize: } ], validate: none, package: { as: none, encoding: none } }, { model: b, recipe: int8, package: { as: content, encoding: brotli } } ]")]
    [DataRow("targets: [ { model: a, recipe: int8, validate: { accuracy: { min: 90, top: 5 }, size: { max: 1.4 MB, ratio: 2 }, latency: { ratio: 0.7, threads: 1 }, nll: { max_drop: 1% } } } ]")]
    [DataRow("targets: [ { model: a, recipe: int8, calibration: { use: x, take: 3 } } ]\ndatasets: { x: { inputs: { a: { random: }, b: { value: [1, 2] }, c: { csv: x, columns: [a, 1] } } } }")]
    [DataRow("targets: [ { model: a, recipe: int8 } ]\ndatasets: { d: { inputs: { x: { wav: a.wav, rate: 8000, window: 4, hop: 2, context: 1 }, y: { wav: a.wav, stft: { size: 4, hop: 2, window: none, as: complex } }, s: { feedback: t, initial: 0 } } } }")]
    [DataRow("targets: [ { model: a, recipe: int8, on_failure: relax, rules: [ { match: { tensor: '^a$' }, range: [-1, 1.5] }, { match: { subgraph: { from: a, to: [b, c] } }, quantize: static } ] } ]")]
    [DataRow("targets: [ { model: a, passes: [ { prune: { amount: 50% } }, { cluster: { bits: 4, group: 16, method: gram } }, { store: { tolerance: 0.05% } } ] }, { model: b, passes: [ { cluster: { entropy: 5.5 } }, { store: } ] } ]")]
    [DataRow("targets: [ { model: a, passes: [ { quantize: }, { float16: { compute: true, keep_io: false } } ], rules: [ { match: { op: Gemm }, quantize: float16 } ] }, { model: a, name: B, recipe: float16 } ]")]
    [DataRow("targets: [ { model: a, passes: [ { prune: { structure: channels, macs: 30%, method: flap, allocate: loss, repair: bias, multiple: 8, limit: 60% } }, { prune: { structure: '2:4', method: wanda, quantize: { weights: int4 } } }, { prune: { structure: 4x1, amount: 0.5, method: sparsegpt, limit: 80% } } ], calibration: x, rules: [ { match: { op: Gemm }, prune: none } ] } ]\ndatasets: { x: { inputs: { a: { random: } } } }")]
    [DataRow("targets: [ { model: a, passes: [ { distill: { data: x, epochs: 3, steps: 100, batch: 32, learning_rate: 0.01, weight_decay: 0, warm_up: 5%, temperature: 4, labels: 30%, hidden: auto, hidden_loss: cosine, hidden_weight: 2, held_back: 20%, patience: 2, seed: 7, quantize: { weights: binary }, prune: { structure: 4x1, amount: 60%, until: 40%, allocate: global, limit: 80% }, window: 4, student: b, scratch: true, method: end-to-end } }, { distill: } ], calibration: x } ]\ndatasets: { x: { inputs: { a: { random: } } } }")]
    public async Task Good_manifests_are_valid(string text) => Assert.IsEmpty(await Errors("version: 1\n" + text));

    [TestMethod]
    [DataRow("version: 2\ntargets: [ { model: a, recipe: int8 } ]")]
    [DataRow("targets: [ { model: a, recipe: int8 } ]")]
    [DataRow("version: 1\ntargets: []")]
    [DataRow("version: 1\ntargets: [ { recipe: int8 } ]")]
    [DataRow("version: 1\ntargets: [ { model: 3, recipe: int8 } ]")]
    [DataRow("version: 1\ntargets: [ { model: a, recipe: int9 } ]")]
    [DataRow("version: 1\ntargets: [ { model: a, recipe: smallest } ]")]
    [DataRow("version: 1\ntargets: [ { model: a, recipe: int8, passes: [] } ]")]
    [DataRow("version: 1\ntargets: [ { model: a, recipe: int8, goal: { minimize: size } } ]")]
    [DataRow("version: 1\ntargets: [ { model: a, recipe: int8, rules: [ { match: { tensor: a }, quantize: none } ] } ]")]
    [DataRow("version: 1\ntargets: [ { model: a, recipe: int8, rules: [ { match: { op: a }, quantize: none, range: [0, 1] } ] } ]")]
    [DataRow("version: 1\ntargets: [ { model: a, recipe: int8, validate: { agreemnt: { min: 3 } } } ]")]
    [DataRow("version: 1\ntargets: [ { model: a, recipe: int8, validate: { agreement: {} } } ]")]
    [DataRow("version: 1\ntargets: [ { model: a, recipe: int8, validate: { size: { max: 1.4 Mb } } } ]")]
    [DataRow("version: 1\ntargets: [ { model: a, passes: [ { distill: { max_time: 5 } } ] } ]")]
    [DataRow("version: 1\ntargets: [ { model: a, passes: [ { prune: { amount: 50% }, quantize: {} } ] } ]")]
    [DataRow("version: 1\ntargets: [ { model: a, passes: [ { prune: { amount: 50 } } ] } ]")]
    [DataRow("version: 1\ntargets: [ { model: a, recipe: int8 } ]\ndatasets: { d: { inputs: { x: { wav: a.wav } } } }")]
    [DataRow("version: 1\ntargets: [ { model: a, recipe: int8 } ]\ndatasets: { d: { inputs: { x: { wav: a.wav, window: 4, stft: { size: 4 } } } } }")]
    [DataRow("version: 1\ntargets: [ { model: a, recipe: int8 } ]\ndatasets: { d: { inputs: { x: { npy: a, idx: b } } } }")]
    [DataRow("version: 1\ntargets: [ { model: a, recipe: int8 } ]\ndatasets: { d: { inputs: {} } }")]
    [DataRow("version: 1\ntargets: [ { model: a, recipe: int8 } ]\ndatasets: { d: { inputs: { x: { npy: a } }, take: 0 } }")]
    [DataRow("version: 1\ntargets: [ { model: a, passes: [ { prune: { structure: channels, macs: 30%, bytes: 1 MB } } ] } ]")]
    [DataRow("version: 1\ntargets: [ { model: a, passes: [ { prune: { structure: '0:4' } } ] } ]")]
    [DataRow("version: 1\ntargets: [ { model: a, passes: [ { prune: } ] } ]")]
    public async Task Bad_manifests_are_not_valid_and_the_parser_agrees(string text)
    {
        Assert.IsNotEmpty(await Errors(text));
        using var folder = new ManifestFolder("a", "b");
        Assert.IsNotEmpty(folder.Diagnostics(text));
    }

    [TestMethod]
    public void What_the_schema_refuses_the_parser_refuses_too()
    {
        using var folder = new ManifestFolder(NineModels.Files);
        ManifestPropertyTests.Mutated.Sample(
            text => folder.Diagnostics(text).Count > 0 || !Errors(text).GetAwaiter().GetResult().Any(),
            iter: 150, threads: 1);
    }

    private static async Task<IEnumerable<string>> Errors(string yaml)
    {
        var diagnostics = new DiagnosticBag();
        var json = Json(YamlText.Read(yaml, "test.yaml", diagnostics)!)?.ToJsonString() ?? "null";
        Assert.IsFalse(diagnostics.HasErrors);
        return (await Schema.Value).Validate(json).Select(e => e.ToString());
    }

    // As editors do it: YAML 1.2's core schema.
    private static JsonNode? Json(YamlNode node) => node switch
    {
        YamlSequence list => new JsonArray([.. list.Items.Select(Json)]),
        YamlMapping mapping => new JsonObject(mapping.Entries.Select(e => KeyValuePair.Create(e.Key.Text, Json(e.Value)))),
        YamlScalar { Kind: ScalarKind.Null } => null,
        YamlScalar { Kind: ScalarKind.Boolean } scalar => JsonValue.Create(scalar.Text is ['t' or 'T', ..]),
        YamlScalar { Kind: ScalarKind.Integer } scalar when long.TryParse(scalar.Text, out var whole) => JsonValue.Create(whole),
        YamlScalar { Kind: ScalarKind.Integer or ScalarKind.Float } scalar => JsonValue.Create(CoreSchema.Number(scalar.Text) ?? double.MaxValue),
        YamlScalar scalar => JsonValue.Create(scalar.Text),
        _ => throw new JsonException(),
    };
}
