using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes;

/// <summary>
/// Reads a finished model and compares what is quantized in it with what a runtime policy allows: operators and forms, types,
/// symmetry, granularity, zero points, common and fixed scales, saturation, biases, operator sets. It knows nothing of how the
/// model was made. Operators in float are not its concern: a runtime that has no kernel for one had none for the original.
/// </summary>
internal static class Conformance
{
    /// <summary>The violations in graph order, bodies behind the node they belong to; none for a model that conforms.</summary>
    public static IReadOnlyList<Violation> Check(OnnxModel model, RuntimePolicy policy) => Check(model, model.Graph, policy, null);

    private static List<Violation> Check(OnnxModel model, GraphProto graph, RuntimePolicy policy, GraphIndex? outer)
    {
        var index = new GraphIndex(model, graph, outer);
        var check = new GraphConformance(model, index, policy);
        var violations = new List<Violation>();
        foreach (var node in graph.Node)
        {
            violations.AddRange(check.Check(node).Select(what => new Violation(node.DisplayName(), what)));
            foreach (var body in node.Bodies())
                violations.AddRange(Check(model, body, policy, index));
        }

        return violations;
    }
}
