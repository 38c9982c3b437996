using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest.Schema;
using ModelBuildTasks.Engine.Manifest.Yaml;

namespace ModelBuildTasks.Engine.Manifest;

/// <summary>Reads runtime policies: those that ship with the engine, <c>build/runtimes/*.yaml</c>, and users' own.</summary>
public static class RuntimePolicies
{
    /// <summary>The runtime of a target that names none.</summary>
    public const string Default = "ort-cpu";

    /// <summary>Names of the policies that ship with the engine, sorted.</summary>
    public static IReadOnlyList<string> Names { get; } = Resources.Names("runtimes/");

    /// <summary>A policy that ships with the engine.</summary>
    /// <exception cref="ModelBuildException">There is none of that name (MBT1007).</exception>
    public static RuntimePolicy Get(string name) => Names.Contains(name)
        ? ReadText(Resources.Text($"runtimes/{name}.yaml"), $"runtimes/{name}.yaml")
        : throw new ModelBuildException(DiagnosticCodes.UnknownName, $"unknown runtime '{name}'; {Suggestion.For(name, Names)}");

    /// <summary>A user's own policy.</summary>
    /// <param name="path">The file.</param>
    /// <param name="shownPath">The file as locations show it; by default <paramref name="path"/>.</param>
    /// <exception cref="ModelBuildException">The file is missing or wrong; all errors with their locations.</exception>
    public static RuntimePolicy Read(string path, string? shownPath = null)
    {
        var shown = shownPath ?? path;
        return ReadText(TextFile.Read(path, shown), shown);
    }

    /// <summary>A policy from its text.</summary>
    /// <exception cref="ModelBuildException">All errors with their locations.</exception>
    public static RuntimePolicy ReadText(string text, string shownPath)
    {
        var errors = new DiagnosticBag();
        var (policy, origin) = Merged(text, shownPath, errors);
        if (policy is null && !errors.HasErrors)
            errors.Error(DiagnosticCodes.MissingKey, "the policy is empty", new(shownPath, 1, 1, 1, 2));
        var operators = policy is null ? [] : Operators(policy, errors);
        var formats = policy is null ? new() : NumberFormatBinder.Bind(policy, errors);
        if (errors.HasErrors)
            throw new ModelBuildException(errors.InOrder(shownPath));
        return new(policy!.Text("name")!, (int)policy.Get<long>("opset")!.Value, operators)
        {
            Formats = formats,
            Products = Forms(policy["products"]),
            Bits = policy["few_bits"] is ListValue bits ? [.. bits.Contents<string>().Select(Enum<BitsForm>).Distinct()] : [],
            Float16 = policy["float16"] is ObjectValue half ? new(half.Get<bool>("compute") ?? false, ((half["float32"] as ListValue)?.Contents<string>() ?? []).ToHashSet()) : new(false, new HashSet<string>()),
            Costs = CostBinder.Bind(policy["costs"] as ObjectValue),
            Origin = origin,
        };
    }

    /// <summary>A policy laid over the one it extends, and all text that it was made from.</summary>
    private static (ObjectValue? Policy, string Origin) Merged(string text, string shownPath, DiagnosticBag errors)
    {
        if (YamlText.Read(text, shownPath, errors) is not { } root)
            return (null, text);
        if (root is not YamlMapping mapping || !mapping.Entries.Any(e => e.Key.Text == "extends"))
            return (PolicyShapes.Policy.Read(root, "policy", errors) as ObjectValue, text);
        var own = PolicyShapes.Extension.Read(root, "policy", errors) as ObjectValue;
        if (own?.Text("extends") is not { } name)
            return (own, text);
        if (!Names.Contains(name))
        {
            errors.Error(DiagnosticCodes.UnknownName, $"unknown runtime '{name}'; {Suggestion.For(name, Names)}", own["extends"]!.Location);
            return (null, text);
        }

        var (below, origin) = Merged(Resources.Text($"runtimes/{name}.yaml"), $"runtimes/{name}.yaml", errors);
        return (own.Over(below), $"{origin}\n---\n{text}");
    }

    /// <summary>Whether what stands under <c>runtime:</c> is a file rather than a name.</summary>
    internal static bool IsPath(string text) =>
        text.EndsWith(".yaml", StringComparison.OrdinalIgnoreCase) || text.EndsWith(".yml", StringComparison.OrdinalIgnoreCase);

    private static OrderedDictionary<string, OperatorPolicy> Operators(ObjectValue policy, DiagnosticBag errors)
    {
        var operators = new OrderedDictionary<string, OperatorPolicy>();
        foreach (var member in (policy["weighted"] as ObjectValue)?.Members ?? [])
            Add(member.Key, member.KeyLocation, new(OperatorRole.Weighted, Forms(member.Value)));
        foreach (var (key, role) in new[] { ("arithmetic", OperatorRole.Arithmetic), ("movement", OperatorRole.Movement), ("activation", OperatorRole.Activation) })
        {
            foreach (var item in (policy[key] as ListValue)?.Items.OfType<ScalarValue>() ?? [])
                Add((string)item.Content, item.Location, new(role, []));
        }

        return operators;

        void Add(string name, SourceLocation location, OperatorPolicy what)
        {
            // With a constant it has a weight, with activations it moves values: Gather.
            if (what.Role == OperatorRole.Movement && operators.TryGetValue(name, out var weighted) && weighted.Role == OperatorRole.Weighted)
                operators[name] = weighted with { Role = OperatorRole.Movement };
            else if (!operators.TryAdd(name, what))
                errors.Error(DiagnosticCodes.DuplicateKey, $"operator '{name}' already stands as {operators[name].Role.ToString().ToLowerInvariant()}; an operator has one role", location);
        }
    }

    private static List<QuantizedForm> Forms(Value? forms) =>
        forms is ListValue list ? [.. list.Contents<string>().Select(Enum<QuantizedForm>).Distinct()] : [];

    private static T Enum<T>(string word) where T : struct, Enum => System.Enum.Parse<T>(word, ignoreCase: true);
}
