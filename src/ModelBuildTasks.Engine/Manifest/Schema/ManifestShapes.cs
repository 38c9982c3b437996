using System.Text.Json.Nodes;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest.Yaml;

namespace ModelBuildTasks.Engine.Manifest.Schema;

/// <summary>The manifest as data: the parser checks by it and the JSON Schema is made from it.</summary>
internal static class ManifestShapes
{
    private static readonly string[] RecipesNotYet = ["smallest", "fastest"];

    /// <summary>Passes of a target, in order.</summary>
    public static ListShape Passes { get; } = new(
        new FormsShape("pass", "pass",
        [
            new("prunePass", "Removes what the outputs miss least: weights, channels, heads or blocks.", [new("prune", PassShapes.Prune, "Removes what the outputs miss least: weights, channels, heads or blocks.") { Required = true }]),
            new("distillPass", "Trains the model to answer like the original.", [new("distill", DistillShapes.Distill, "Trains the model to answer like the original.") { Required = true }]),
            new("quantizePass", "Stores weights, and where it pays computes, in 8 bits.", [new("quantize", PassShapes.Quantize, "Stores weights, and where it pays computes, in 8 bits.") { Required = true }]),
            new("float16Pass", "Stores weights in float16, or computes in it.", [new("float16", PassShapes.Float16, "Stores weights in float16, or computes in it where the runtime is made for that.") { Required = true }]),
            new("clusterPass", "Gives weights few distinct values, stored as codes and a table.", [new("cluster", PassShapes.Cluster, "Gives weights few distinct values, stored as codes and a table.") { Required = true }]),
            new("storePass", "Stores each tensor in the form that takes the fewest bytes.", [new("store", PassShapes.Store, "Stores each tensor in the form that takes the fewest bytes.") { Required = true }]),
        ]),
        Min: 0);

    private static readonly ScalarShape RecipeName = Scalars.Choice(Described(Recipes.Names, Recipes.Meaning), RecipesNotYet, "recipe");

    /// <summary>A recipe: passes with what goes with them.</summary>
    public static ObjectShape Recipe { get; } = new("recipe", "Passes with the rules and checks that go with them.",
    [
        new("extends", RecipeName, "The recipe that this one builds on: what is not given here comes from there, and its rules come before the rules here."),
        new("passes", Passes, "The passes in order; an empty list leaves graph clean-up alone."),
        new("rules", PassShapes.Rules, "Exceptions for single nodes; the last match wins."),
        new("validate", ValidateShapes.Validate, "What the artifact is checked for where the target does not say otherwise."),
    ])
    {
        AnyOf = ["extends", "passes"],
    };

    private static readonly Property[] Shared =
    [
        new("runtime", Runtime(), "Where the artifact will run; chooses legal formats. A name, or the path of an own policy file (.yaml)."),
        new("recipe", new UnionShape(RecipeName, null, Recipe), "A named recipe, or one that builds on a named one; instead of passes."),
        new("passes", Passes, "The passes in order; instead of a recipe."),
        new("calibration", DatasetShapes.UseOrName, "The data from which ranges of activations are found."),
        new("validate", ValidateShapes.Validate, "What the artifact is checked for against the original."),
        new("on_failure", Scalars.Choice(
            [("error", "the build fails (default)"), ("warn", "the artifact is used and a warning tells"), ("original", "the untouched model is used and a warning tells"), ("relax", "precision is given back to single nodes, cheapest first, until the limits hold, and a warning tells to which")]), "What happens when a limit does not hold."),
        new("package", new ObjectShape("package", "How the artifact gets into the app.",
        [
            new("as", Scalars.Choice([("resource", "embedded in the assembly (default)"), ("content", "a file next to the app, in the folder models"), ("none", "only written to obj/models")]), "Where the artifact goes."),
            new("encoding", Scalars.Choice([("none", "as it is (default)"), ("brotli", "compressed with Brotli; the accessor decodes it")]), "How the artifact is stored there."),
        ]), "How the artifact gets into the app."),
        new("rules", PassShapes.Rules, "Exceptions for single nodes; the last match wins."),
    ];

    private static readonly ObjectShape Defaults = new("defaults", "What every target has that does not say otherwise.", Shared)
    {
        Alternatives = ["recipe", "passes"],
        NotYet = ["goal"],
        MayBeEmpty = true,
    };

    private static readonly ObjectShape Target = new("target", "A model that becomes one artifact.",
    [
        new("model", Scalars.Text("the path of an ONNX model"), "The path of the ONNX model, relative to the manifest.") { Required = true },
        new("name", Scalars.Text("a C# identifier"), "Accessor, file and resource name, a C# identifier; by default the file's name in PascalCase."),
        .. Shared,
    ])
    {
        Alternatives = ["recipe", "passes"],
        NotYet = ["goal"],
    };

    /// <summary>The whole file.</summary>
    public static ObjectShape Manifest { get; } = new("manifest", "What ModelBuildTasks compresses, with what data, and what must hold of the results.",
    [
        new("version", Version(), "The version of the manifest's format: 1.") { Required = true, MissingCode = DiagnosticCodes.ManifestVersion },
        new("datasets", new MapShape("the dataset's name", DatasetShapes.Dataset, MayBeEmpty: true), "Data for calibration and validation, by names that targets refer to."),
        new("defaults", Defaults, "Merged under every target: mappings are merged, anything else of the target's own wins."),
        new("targets", new ListShape(Target), "What to compress: each becomes one artifact.") { Required = true },
    ]);

    /// <summary>A file of which only the datasets are wanted.</summary>
    public static ObjectShape DatasetsOnly { get; } = Manifest with
    {
        Properties = [.. Manifest.Properties.Select(p => p.Name == "targets" ? p with { Required = false } : p)],
    };

    private static ScalarShape Version() => new(
        "the number 1",
        s => s is { Kind: ScalarKind.Integer, Text: "1" } ? new(1L)
            : new(null, $"this tool reads version 1 of the manifest, not {s.Description}", DiagnosticCodes.ManifestVersion),
        () => new() { ["enum"] = new JsonArray(1) });

    private static ScalarShape Runtime()
    {
        var name = Scalars.Choice(Described(RuntimePolicies.Names, _ => "built in"), noun: "runtime");
        return new(
            $"the name of a runtime ({string.Join(", ", RuntimePolicies.Names)}) or the path of a policy file (.yaml)",
            s => RuntimePolicies.IsPath(s.Text) ? new(s.Text) : name.Parse(s),
            () => new() { ["anyOf"] = new JsonArray(name.Schema(), new JsonObject { ["type"] = "string", ["pattern"] = "\\.ya?ml$" }) });
    }

    private static List<(string, string)> Described(IEnumerable<string> names, Func<string, string> meaning) => [.. names.Select(n => (n, meaning(n)))];
}
