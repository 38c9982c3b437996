namespace ModelBuildTasks.Benchmarks.Peers;

/// <summary>One model beside the others that were made of the same original.</summary>
internal static class Verdict
{
    // Two measurements of one model differ by this much.
    private const double LatencyNoise = 0.02;

    /// <summary>Whether the model is as good as the others' best by quality, at no more bytes and no more latency; else where it is not.</summary>
    public static string Of(Contender ours, IReadOnlyList<Contender> others)
    {
        if (ours.Failure is not null)
            return "no";
        var best = others.Where(c => c.Failure is null).OrderByDescending(c => c.Quality.Rank).ThenBy(c => c.Bytes).FirstOrDefault();
        if (best is null)
            return "yes: they make no model";
        var worse = Worse(ours, best).ToList();
        return worse.Count == 0 ? $"yes ({best.Name})" : $"no ({best.Name}): {string.Join(", ", worse)}";
    }

    /// <summary>The others that are at least as good in every respect.</summary>
    public static string BeatenBy(Contender ours, IReadOnlyList<Contender> others) =>
        string.Join(", ", others.Where(c => c.Failure is null && (ours.Failure is not null || (!Worse(c, ours).Any() && Worse(ours, c).Any()))).Select(c => c.Name));

    private static IEnumerable<string> Worse(Contender a, Contender b)
    {
        if (a.Quality.Rank < b.Quality.Rank)
            yield return "quality";
        if (a.Bytes > b.Bytes)
            yield return "bytes";
        if (a.Latency > b.Latency * (1 + LatencyNoise))
            yield return "latency";
    }
}
