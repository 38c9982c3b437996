namespace ModelBuildTasks.Engine.Data;

/// <summary>The name that a misspelt one was probably meant to be.</summary>
internal static class NearestName
{
    /// <summary>" Did you mean 'x'?", or nothing when no candidate is near.</summary>
    public static string Hint(string name, IEnumerable<string> candidates)
    {
        var best = candidates.Select(c => (Name: c, Distance: Distance(name, c))).OrderBy(c => c.Distance).FirstOrDefault();
        return best.Name is not null && best.Distance <= Math.Max(1, Math.Max(name.Length, best.Name.Length) / 2)
            ? $" Did you mean '{best.Name}'?"
            : "";
    }

    private static int Distance(string a, string b)
    {
        a = a[..Math.Min(a.Length, 200)];
        b = b[..Math.Min(b.Length, 200)];
        var row = Enumerable.Range(0, b.Length + 1).ToArray();
        for (var i = 1; i <= a.Length; i++)
        {
            var diagonal = row[0];
            row[0] = i;
            for (var j = 1; j <= b.Length; j++)
            {
                var same = char.ToLowerInvariant(a[i - 1]) == char.ToLowerInvariant(b[j - 1]);
                (diagonal, row[j]) = (row[j], Math.Min(Math.Min(row[j], row[j - 1]) + 1, diagonal + (same ? 0 : 1)));
            }
        }

        return row[b.Length];
    }
}
