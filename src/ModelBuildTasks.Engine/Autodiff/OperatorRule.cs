using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Autodiff;

/// <summary>Writes the gradients of a node's inputs from those of its outputs.</summary>
internal delegate void GradientRule(Backward backward, NodeProto node);

/// <summary>Says why the forms that a rule knows do not include a node; null where they do.</summary>
internal delegate string? RuleLimit(ShapedGraph graph, NodeProto node);

/// <summary>How one operator is differentiated.</summary>
/// <param name="Apply">Writes the gradients.</param>
internal sealed record OperatorRule(GradientRule Apply)
{
    /// <summary>What the rule does not know, or null.</summary>
    public RuleLimit? Limit { get; init; }

    /// <summary>The inputs that can have a gradient; null for all that are float.</summary>
    public IReadOnlyList<int>? Inputs { get; init; }
}
