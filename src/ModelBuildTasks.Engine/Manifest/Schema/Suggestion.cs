namespace ModelBuildTasks.Engine.Manifest.Schema;

/// <summary>Finds what the user may have meant.</summary>
internal static class Suggestion
{
    private const int MaxLength = 100;
    private const int MaxListed = 30;

    /// <summary>"did you mean 'x'?", or the list of what is valid when nothing is near.</summary>
    public static string For(string word, IReadOnlyCollection<string> valid, string whenEmpty = "nothing is valid here") =>
        Nearest(word, valid) is { } near ? $"did you mean '{near}'?"
        : valid.Count == 0 ? whenEmpty
        : $"valid: {string.Join(", ", valid.Take(MaxListed))}{(valid.Count > MaxListed ? ", ..." : "")}";

    /// <summary>The valid word that is the fewest typing slips away, or null when none is near.</summary>
    public static string? Nearest(string word, IEnumerable<string> valid)
    {
        if (word.Length is 0 or > MaxLength)
            return null;
        var allowed = Math.Max(1, word.Length / 3);
        return valid
            .Where(v => v.Length <= MaxLength)
            .Select(v => (Word: v, Slips: Slips(word.ToLowerInvariant(), v.ToLowerInvariant())))
            .Where(c => c.Slips <= allowed && c.Slips < c.Word.Length)
            .OrderBy(c => c.Slips).ThenBy(c => c.Word, StringComparer.Ordinal)
            .Select(c => c.Word).FirstOrDefault();
    }

    /// <summary>Optimal string alignment distance: insertions, deletions, replacements, and swaps of neighbours.</summary>
    internal static int Slips(string a, string b)
    {
        var d = new int[a.Length + 1, b.Length + 1];
        for (var i = 0; i <= a.Length; i++)
            d[i, 0] = i;
        for (var j = 0; j <= b.Length; j++)
            d[0, j] = j;
        for (var i = 1; i <= a.Length; i++)
        {
            for (var j = 1; j <= b.Length; j++)
            {
                d[i, j] = Math.Min(Math.Min(d[i - 1, j], d[i, j - 1]) + 1, d[i - 1, j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1));
                if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                    d[i, j] = Math.Min(d[i, j], d[i - 2, j - 2] + 1);
            }
        }

        return d[a.Length, b.Length];
    }
}
