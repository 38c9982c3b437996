using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest.Schema;
using ModelBuildTasks.Engine.Manifest.Yaml;

namespace ModelBuildTasks.Engine.Manifest;

/// <summary>The recipes that ship with the engine: manifest fragments, <c>build/recipes/*.yaml</c>.</summary>
public static class Recipes
{
    /// <summary>The recipes' names, sorted.</summary>
    public static IReadOnlyList<string> Names { get; } = Resources.Names("recipes/");

    /// <summary>What a recipe does, in one sentence.</summary>
    internal static string Meaning(string name) => Text(name).Split('\n')[0].TrimStart('#', ' ').TrimEnd('\r', '.');

    /// <summary>The passes of a recipe.</summary>
    /// <exception cref="ModelBuildException">There is no recipe of that name (MBT1007).</exception>
    public static IReadOnlyList<PassPlan> Passes(string name) => PassBinder.Bind((ListValue)Load(name, new SourceLocation($"recipe {name}"))["passes"]!, []);

    /// <summary>The exceptions for nodes that a recipe makes.</summary>
    /// <exception cref="ModelBuildException">There is no recipe of that name (MBT1007).</exception>
    public static IReadOnlyList<RulePlan> Rules(string name) => PassBinder.Rules(Load(name, new SourceLocation($"recipe {name}"))["rules"] as ListValue, []);

    /// <summary>A recipe with what it extends merged under it.</summary>
    /// <param name="name">The recipe.</param>
    /// <param name="at">The location that everything in it gets: where the user named it.</param>
    internal static ObjectValue Load(string name, SourceLocation at)
    {
        if (!Names.Contains(name))
            throw new ModelBuildException(DiagnosticCodes.UnknownName, $"unknown recipe '{name}'; {Suggestion.For(name, Names)}", at);
        var errors = new DiagnosticBag();
        var recipe = Read(Text(name), $"recipes/{name}.yaml", errors, at);
        return recipe is null || errors.HasErrors ? throw new ModelBuildException(errors.InOrder(at.File)) : Complete(recipe);
    }

    /// <summary>Reads a recipe's text.</summary>
    internal static ObjectValue? Read(string text, string file, DiagnosticBag errors, SourceLocation? at = null) =>
        YamlText.Read(text, file, errors, at) is { } root ? ManifestShapes.Recipe.Read(root, "recipe", errors) as ObjectValue : null;

    /// <summary>A recipe's mapping over what it extends; rules are joined, with those of the extended recipe first.</summary>
    internal static ObjectValue Complete(ObjectValue recipe)
    {
        if (recipe.Text("extends") is not { } name)
            return recipe;
        var below = Load(name, recipe["extends"]!.Location);
        var merged = recipe.Without("extends").Over(below);
        return recipe["rules"] is ListValue own && below["rules"] is ListValue inherited
            ? merged with { Members = [.. merged.Members.Select(m => m.Key == "rules" ? m with { Value = own with { Items = [.. inherited.Items, .. own.Items] } } : m)] }
            : merged;
    }

    private static string Text(string name) => Resources.Text($"recipes/{name}.yaml");
}
