using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest.Schema;
using ModelBuildTasks.Engine.Manifest.Yaml;

namespace ModelBuildTasks.Engine.Manifest;

/// <summary>Reads <c>compression.yaml</c> into a <see cref="Plan"/>: checked, with defaults and recipes merged. The manifest is described in <c>docs/manifest.md</c>.</summary>
public static class ManifestReader
{
    /// <summary>Reads a manifest.</summary>
    /// <param name="path">The manifest.</param>
    /// <param name="shownPath">The manifest as locations show it; by default <paramref name="path"/>.</param>
    /// <exception cref="ModelBuildException">The manifest has errors: all of them, in the order of its lines.</exception>
    public static Plan Read(string path, string? shownPath = null) =>
        TryRead(path, out var diagnostics, out _, shownPath) ?? throw new ModelBuildException(diagnostics);

    /// <summary>Reads a manifest from its text.</summary>
    /// <param name="text">The YAML.</param>
    /// <param name="path">Where the manifest stands or would stand; paths in it are relative to that folder.</param>
    /// <param name="shownPath">The manifest as locations show it; by default <paramref name="path"/>.</param>
    /// <exception cref="ModelBuildException">The manifest has errors: all of them, in the order of its lines.</exception>
    public static Plan ReadText(string text, string path, string? shownPath = null) =>
        TryReadText(text, path, out var diagnostics, out _, shownPath) ?? throw new ModelBuildException(diagnostics);

    /// <summary>Reads a manifest without throwing.</summary>
    /// <param name="path">The manifest.</param>
    /// <param name="diagnostics">All errors, in the order of the manifest's lines; empty when there is a plan.</param>
    /// <param name="files">Full paths of the files that the manifest depends on as far as they could be determined, existing or not, sorted ordinally. With errors, too, so that a build looks again when one of them appears.</param>
    /// <param name="shownPath">The manifest as locations show it; by default <paramref name="path"/>.</param>
    /// <returns>The plan, or null when there are errors.</returns>
    public static Plan? TryRead(string path, out IReadOnlyList<Diagnostic> diagnostics, out IReadOnlyList<string> files, string? shownPath = null)
    {
        string text;
        try
        {
            text = TextFile.Read(path, shownPath ?? path);
        }
        catch (ModelBuildException unreadable)
        {
            diagnostics = unreadable.Diagnostics;
            files = [Path.GetFullPath(path)];
            return null;
        }

        return TryReadText(text, path, out diagnostics, out files, shownPath);
    }

    /// <summary>Reads one dataset of a manifest, which may have no targets.</summary>
    /// <param name="path">The manifest.</param>
    /// <param name="name">The dataset's name.</param>
    /// <param name="shownPath">The manifest as locations show it; by default <paramref name="path"/>.</param>
    /// <exception cref="ModelBuildException">There is no dataset of that name (MBT1007), or the manifest's version or datasets have errors.</exception>
    public static DatasetPlan ReadDataset(string path, string name, string? shownPath = null)
    {
        var shown = shownPath ?? path;
        var errors = new DiagnosticBag();
        var root = Root(TextFile.Read(path, shown), shown, errors, ManifestShapes.DatasetsOnly);
        var files = new ManifestFiles(path, shown, errors);
        var datasets = new DatasetBinder(files, errors).Bind(root?["datasets"] as ObjectValue);
        if (!errors.HasErrors && !datasets.ContainsKey(name))
            errors.Error(DiagnosticCodes.UnknownName, $"unknown dataset '{name}'; {Suggestion.For(name, datasets.Keys, "the manifest has no datasets")}", root!["datasets"]?.Location ?? root.Location);
        return errors.HasErrors ? throw new ModelBuildException(errors.InOrder(shown)) : datasets[name]!;
    }

    /// <summary>The JSON Schema (draft-07) of the manifest: the text of <c>build/modelbuild.schema.json</c>.</summary>
    public static string JsonSchema() => JsonDefinitions.Text(ManifestShapes.Manifest, "ModelBuildTasks manifest");

    private static Plan? TryReadText(string text, string path, out IReadOnlyList<Diagnostic> diagnostics, out IReadOnlyList<string> files, string? shownPath)
    {
        var shown = shownPath ?? path;
        var errors = new DiagnosticBag();
        var named = new ManifestFiles(path, shown, errors);
        var plan = Root(text, shown, errors, ManifestShapes.Manifest) is { } root ? new PlanBinder(named, errors).Bind(root) : null;
        diagnostics = errors.InOrder(shown);
        files = named.All;
        return errors.HasErrors ? null : plan;
    }

    private static ObjectValue? Root(string text, string shown, DiagnosticBag errors, ObjectShape shape)
    {
        var node = YamlText.Read(text, shown, errors);
        if (node is null or YamlScalar { Kind: ScalarKind.Null })
        {
            if (!errors.HasErrors)
                errors.Error(DiagnosticCodes.MissingKey, "the manifest is empty; it needs 'version: 1' and 'targets'", new(shown, 1, 1, 1, 2));
            return null;
        }

        // Another version's keys mean other things: nothing but the version can be said of it.
        if ((node as YamlMapping)?.Entries.FirstOrDefault(e => e.Key.Text == "version") is { } version
            && shape.Properties.First(p => p.Name == "version").Shape.Read(version.Value, "version", errors) is null)
        {
            return null;
        }

        return shape.Read(node, "manifest", errors) as ObjectValue;
    }
}
