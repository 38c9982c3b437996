using ModelBuildTasks.Engine.Manifest.Schema;

namespace ModelBuildTasks.Engine.Data;

/// <summary>The name that a misspelt one was probably meant to be. Tensors are named by exporters: half of the letters may differ.</summary>
internal static class NearestName
{
    private const int MaxLength = 200;

    /// <summary>" Did you mean 'x'?", or nothing when no candidate is near.</summary>
    public static string Hint(string name, IEnumerable<string> candidates)
    {
        var best = candidates.Select(c => (Name: c, Slips: Suggestion.Slips(Fold(name), Fold(c)))).OrderBy(c => c.Slips).FirstOrDefault();
        return best.Name is not null && best.Slips <= Math.Max(1, Math.Max(name.Length, best.Name.Length) / 2)
            ? $" Did you mean '{best.Name}'?"
            : "";
    }

    private static string Fold(string name) => name[..Math.Min(name.Length, MaxLength)].ToLowerInvariant();
}
