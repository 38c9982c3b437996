using System.Text.RegularExpressions;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Statistics;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.Quantization;

/// <summary>
/// The rules of a target, resolved on one model: for a node the forms it may get and whether it may be pruned, for a tensor the range and the type that are fixed. Rules are
/// looked at from the last to the first, and the first that matches counts.
/// </summary>
internal sealed class RuleSet
{
    private readonly List<NodeRule> _nodes = [];
    private readonly List<NodeRule> _pruned = [];
    private readonly List<(Regex Tensor, ValueRange Range)> _tensors = [];
    private readonly List<(Regex Tensor, DataType Type)> _types = [];

    /// <param name="model">The model that the passes see, cleaned up.</param>
    /// <param name="rules">The rules in the manifest's order.</param>
    /// <exception cref="ModelBuildException">MBT1007: a subgraph begins or ends at a name that is not in the model.</exception>
    public RuleSet(OnnxModel model, IReadOnlyList<RulePlan> rules)
    {
        foreach (var rule in rules.Reverse())
        {
            if (rule is { TensorPattern: { } tensor, Range: var (min, max) })
                _tensors.Add((Compile(tensor), new ValueRange(min, max).WithZero()));
            else if (rule is { TensorPattern: { } typed, Type: { } type })
                _types.Add((Compile(typed), type));
            else if (rule.TensorPattern is null)
                (rule.Prune is null ? _nodes : _pruned).Add(new(rule, rule.NamePattern is { } name ? Compile(name) : null, Inside(model, rule)));
        }
    }

    /// <summary>What the last matching rule asks of a node: null where none matches or the passes decide; empty for float; else the one form.</summary>
    public IReadOnlyList<QuantizedForm>? Forms(NodeProto node)
    {
        var rule = _nodes.Find(r => r.Matches(node))?.Rule;
        return rule is null ? null : !rule.Quantize ? [] : rule.Form is { } form ? [form] : null;
    }

    /// <summary>Whether a node may be quantized at all.</summary>
    public bool MayQuantize(NodeProto node) => Forms(node) is not { Count: 0 };

    /// <summary>Whether a node's weights, or channels, may be pruned: what the last matching rule about pruning says.</summary>
    public bool MayPrune(NodeProto node) => _pruned.Find(r => r.Matches(node))?.Rule.Prune ?? true;

    /// <summary>The range of a value that the last matching rule fixes, with zero in it; null where calibration finds it.</summary>
    public ValueRange? Range(string tensor)
    {
        var at = _tensors.FindIndex(t => t.Tensor.IsMatch(tensor));
        return at < 0 ? null : _tensors[at].Range;
    }

    /// <summary>The type of a value that the last matching rule fixes; null for the usual one.</summary>
    public DataType? Type(string tensor)
    {
        var at = _types.FindIndex(t => t.Tensor.IsMatch(tensor));
        return at < 0 ? null : _types[at].Type;
    }

    private static Regex Compile(string pattern) => new(pattern, RegexOptions.CultureInvariant | RegexOptions.NonBacktracking);

    private static IReadOnlySet<NodeProto>? Inside(OnnxModel model, RulePlan rule)
    {
        if (rule.From.Count == 0 && rule.To.Count == 0)
            return null;
        var known = model.Graph.WithBodies().SelectMany(g => g.Node.SelectMany(n => n.Output.Append(n.Name)).Concat(GraphEdit.Definitions(g))).ToHashSet();
        foreach (var name in rule.From.Concat(rule.To).Where(n => !known.Contains(n)))
        {
            throw new ModelBuildException(DiagnosticCodes.UnknownName, $"the model, cleaned up, has no node or value '{name}'; "
                + Manifest.Schema.Suggestion.For(name, [.. known.Where(k => k.Length > 0).Order(StringComparer.Ordinal)], "it has none"), rule.Location);
        }

        var inside = GraphEdit.Set<NodeProto>();
        foreach (var graph in model.Graph.WithBodies())
            inside.UnionWith(Subgraph.Between(new GraphIndex(model, graph), rule.From, rule.To));
        // What lies in a body lies where the node lies that has the body.
        inside.UnionWith(inside.SelectMany(n => n.Bodies()).SelectMany(b => b.WithBodies()).SelectMany(g => g.Node).ToList());
        return inside;
    }

    private sealed record NodeRule(RulePlan Rule, Regex? Name, IReadOnlySet<NodeProto>? Inside)
    {
        public bool Matches(NodeProto node) =>
            (Rule.Operators.Count == 0 || Rule.Operators.Contains(node.OpType)) && (Name?.IsMatch(node.DisplayName()) ?? true) && (Inside?.Contains(node) ?? true);
    }
}
