using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;

namespace ModelBuildTasks.Tool.Building;

/// <summary>What the names of a project's targets must be beyond identifiers: one each, and possible inside the accessor.</summary>
internal static class AccessorNames
{
    private static readonly HashSet<string> Members =
        new(StringComparer.Ordinal) { AccessorWriter.ClassName, "Name", "Length", "PackedLength", "OriginalLength", "Sha256", "Path", "DataPath", "OpenRead", "ReadAllBytes", "CreateSession", "__Open", "__Path", "__Read" };

    public static IEnumerable<Diagnostic> Check(IReadOnlyList<TargetPlan> targets)
    {
        // File systems that ignore case would give both the same file.
        var seen = new Dictionary<string, TargetPlan>(StringComparer.OrdinalIgnoreCase);
        foreach (var target in targets)
        {
            if (seen.TryGetValue(target.Name, out var first))
                yield return Error(DiagnosticCodes.DuplicateName, target, $"'{target.Name}' has the name of the target at {first.Location}; give one of them another 'name:'.");
            else if (Members.Contains(target.Name))
                yield return Error(DiagnosticCodes.InvalidValue, target, $"'{target.Name}' is a member of the accessor and cannot name a target; give it another 'name:'.");
            seen.TryAdd(target.Name, target);
        }
    }

    private static Diagnostic Error(string code, TargetPlan target, string message) =>
        new(code, DiagnosticSeverity.Error, message, target.Location);
}
