using ModelBuildTasks.Engine.Diagnostics;

namespace ModelBuildTasks.Engine.Manifest;

/// <summary>Collects errors so that a reader can go on behind the first. The same error at the same place counts once.</summary>
internal sealed class DiagnosticBag
{
    // Nobody reads more, and a damaged file of megabytes would give as many.
    private const int Capacity = 200;

    private readonly HashSet<Diagnostic> _diagnostics = [];
    private bool _full;

    public bool HasErrors => _diagnostics.Count > 0;

    public void Error(string code, string message, SourceLocation location)
    {
        if (_diagnostics.Count < Capacity)
            _diagnostics.Add(new(code, DiagnosticSeverity.Error, message, location));
        else
            _full = true;
    }

    public void Add(ModelBuildException exception)
    {
        foreach (var diagnostic in exception.Diagnostics)
            Error(diagnostic.Code, diagnostic.Message, diagnostic.Location ?? default);
    }

    /// <summary>The errors of the named file first, each file's in the order of its lines.</summary>
    public IReadOnlyList<Diagnostic> InOrder(string firstFile)
    {
        List<Diagnostic> ordered =
        [
            .. _diagnostics
                .OrderBy(d => d.Location?.File == firstFile ? 0 : 1)
                .ThenBy(d => d.Location?.File, StringComparer.Ordinal)
                .ThenBy(d => d.Location?.Line).ThenBy(d => d.Location?.Column),
        ];
        if (_full)
            ordered[^1] = ordered[^1] with { Message = $"{ordered[^1].Message} (more errors follow; the first {Capacity} are shown)" };
        return ordered;
    }
}
