using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.CleanupSteps;

/// <summary>
/// Removes what described values and nodes that are gone, and the comments of nodes (exporters put stack traces there).
/// The model's own metadata stays.
/// </summary>
internal static class StaleInformation
{
    public static StepResult Apply(OnnxModel model)
    {
        foreach (var graph in model.Graph.WithBodies().ToList())
        {
            foreach (var node in graph.Node.Where(n => n.HasDocString))
                node.ClearDocString();
            // An initializer carries its type and shape itself.
            var computed = graph.Node.SelectMany(n => n.Output).ToHashSet();
            GraphEdit.Keep(graph.ValueInfo, v => computed.Contains(v.Name));
            computed.UnionWith(GraphEdit.Definitions(graph));
            GraphEdit.Keep(graph.QuantizationAnnotation, a => computed.Contains(a.TensorName));
        }

        return new StepResult(0, []);
    }
}
