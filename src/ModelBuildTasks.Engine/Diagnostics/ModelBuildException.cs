namespace ModelBuildTasks.Engine.Diagnostics;

/// <summary>An error that the user can understand and mend: it carries one or more coded, located diagnostics.</summary>
public sealed class ModelBuildException : Exception
{
    /// <summary>Creates an exception from one error.</summary>
    public ModelBuildException(string code, string message, SourceLocation? location = null, Exception? inner = null)
        : this([new Diagnostic(code, DiagnosticSeverity.Error, message, location)], inner)
    {
    }

    /// <summary>Creates an exception from several diagnostics, of which at least one is an error.</summary>
    public ModelBuildException(IReadOnlyList<Diagnostic> diagnostics, Exception? inner = null)
        : base(string.Join(Environment.NewLine, diagnostics), inner) => Diagnostics = diagnostics;

    /// <summary>What went wrong, in the order in which it was found.</summary>
    public IReadOnlyList<Diagnostic> Diagnostics { get; }

    /// <summary>The first error.</summary>
    public Diagnostic First => Diagnostics.First(d => d.Severity == DiagnosticSeverity.Error);

    /// <summary>The same error, located at <paramref name="location"/> where it had no location of its own.</summary>
    public ModelBuildException At(SourceLocation location) =>
        new(Diagnostics.Select(d => d.Location is null ? d with { Location = location } : d).ToList(), InnerException);
}
