using System.Text.RegularExpressions;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;

namespace ModelBuildTasks.Engine.Pipeline;

/// <summary>One step of giving back.</summary>
/// <param name="Name">The node.</param>
/// <param name="Form">The form it gets; null for float.</param>
internal sealed record RelaxationStep(string Name, QuantizedForm? Form);

/// <summary>Rules for single nodes by their exact names, and the same rules as YAML to paste.</summary>
internal static class RelaxedRules
{
    // A pattern of the manifest has at most 1000 characters.
    private const int LongestPattern = 900;

    /// <summary>What nodes end up with: of steps of one node the last counts.</summary>
    public static IReadOnlyDictionary<string, QuantizedForm?> Last(IEnumerable<RelaxationStep> steps)
    {
        var last = new OrderedDictionary<string, QuantizedForm?>();
        foreach (var step in steps)
            last[step.Name] = step.Form;
        return last;
    }

    /// <summary>The rules of some steps.</summary>
    public static IReadOnlyList<RulePlan> Of(IEnumerable<RelaxationStep> steps, SourceLocation location)
    {
        var last = Last(steps);
        return
        [
            .. Patterns(last.Where(s => s.Value is not null).Select(s => s.Key)).Select(p => new RulePlan(location, [], p, true) { Form = QuantizedForm.Weights }),
            .. Patterns(last.Where(s => s.Value is null).Select(s => s.Key)).Select(p => new RulePlan(location, [], p, false)),
        ];
    }

    /// <summary>The rules on one line of YAML.</summary>
    public static string Yaml(IReadOnlyList<RulePlan> rules) =>
        $"rules: [{string.Join(", ", rules.Select(r => $"{{ match: {{ name: '{r.NamePattern!.Replace("'", "''", StringComparison.Ordinal)}' }}, quantize: {(r.Quantize ? "weights" : "none")} }}"))}]";

    private static IEnumerable<string> Patterns(IEnumerable<string> names)
    {
        var part = new List<string>();
        foreach (var name in names.Order(StringComparer.Ordinal).Select(Regex.Escape))
        {
            if (part.Count > 0 && part.Sum(p => p.Length + 1) + name.Length > LongestPattern)
            {
                yield return Joined(part);
                part.Clear();
            }

            part.Add(name);
        }

        if (part.Count > 0)
            yield return Joined(part);
    }

    private static string Joined(List<string> names) => names.Count == 1 ? $"^{names[0]}$" : $"^({string.Join('|', names)})$";
}
