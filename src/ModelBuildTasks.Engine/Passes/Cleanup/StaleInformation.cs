using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.CleanupSteps;

/// <summary>
/// Removes what described values and nodes that are gone, and the comments and metadata of nodes and values (exporters put stack traces
/// there, which can be larger than what they describe). The model's own metadata stays.
/// </summary>
internal static class StaleInformation
{
    public static StepResult Apply(OnnxModel model)
    {
        foreach (var graph in model.Graph.WithBodies().ToList())
        {
            graph.MetadataProps.Clear();
            foreach (var node in graph.Node)
            {
                node.ClearDocString();
                node.MetadataProps.Clear();
            }

            foreach (var value in graph.ValueInfo)
            {
                value.ClearDocString();
                value.MetadataProps.Clear();
            }

            // An initializer carries its type and shape itself.
            var computed = graph.Node.SelectMany(n => n.Output).ToHashSet();
            GraphEdit.Keep(graph.ValueInfo, v => computed.Contains(v.Name));
            computed.UnionWith(GraphEdit.Definitions(graph));
            GraphEdit.Keep(graph.QuantizationAnnotation, a => computed.Contains(a.TensorName));
        }

        return new StepResult(0, []);
    }
}
