using ModelBuildTasks.Engine.Autodiff.Lowering;
using ModelBuildTasks.Engine.Autodiff.Rules;
using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Autodiff;

/// <summary>The rule of each operator, by its name.</summary>
internal static class GradientRules
{
    private static readonly Dictionary<string, OperatorRule> _rules = new(
    [
        .. Activations.Rules, .. Elementwise.Rules, .. Products.Rules, .. Reductions.Rules, .. Softmaxes.Rules, .. Shaping.Rules, .. Selecting.Rules,
        .. Scattering.Rules, .. Convolutions.Rules, .. Pooling.Rules, .. Normalizations.Rules, .. Resampling.Rules,
    ]);

    // What they give does not move when their inputs move a little, or is no float: no gradient goes through.
    private static readonly HashSet<string> _constant =
    [
        "Shape", "Size", "Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "And", "Or", "Xor", "Not", "IsNaN", "IsInf", "ArgMax", "ArgMin",
        "NonZero", "OneHot", "Range", "ConstantOfShape", "Constant", "EyeLike", "Floor", "Ceil", "Round", "Sign", "Hardmax", "RandomNormalLike", "RandomUniformLike", "Bernoulli",
    ];

    /// <summary>The operators that have a rule.</summary>
    public static IEnumerable<string> Operators => _rules.Keys;

    /// <summary>The rule of a node's operator, or null.</summary>
    public static OperatorRule? Find(NodeProto node) => node.IsStandard() ? _rules.GetValueOrDefault(node.OpType) : null;

    /// <summary>Whether a gradient can go through an input at all.</summary>
    public static bool Differentiates(NodeProto node, int input) =>
        !(node.IsStandard() && _constant.Contains(node.OpType)) && (Find(node)?.Inputs is not { } inputs || inputs.Contains(input));

    /// <summary>Why a node cannot be differentiated; null where it can.</summary>
    public static string? WhyNot(ShapedGraph graph, NodeProto node)
    {
        if (Lowerings.Find(node) is { } lowering)
            return lowering.Limit?.Invoke(graph, node);
        if (Find(node) is not { } rule)
            return node.Bodies().Any() ? "no gradient goes through a body that is chosen or repeated by the data" : "the operator has no gradient rule";
        // Without axes that are known, all would be taken.
        if (node.InputOrEmpty(AxesInput(node)) is { Length: > 0 } axes && graph.Longs(axes) is null)
            return $"{node.OpType} along axes that are computed";
        return rule.Limit?.Invoke(graph, node);
    }

    private static int AxesInput(NodeProto node) => node.OpType == "Pad" ? 3 : node.OpType.StartsWith("Reduce", StringComparison.Ordinal) ? 1 : int.MaxValue;
}
