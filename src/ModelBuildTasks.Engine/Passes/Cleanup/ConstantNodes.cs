using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.CleanupSteps;

/// <summary>
/// Turns <c>Constant</c> nodes into initializers of the graph they stand in, so that later passes see one kind of constant.
/// A constant that leaves its graph stays a node: not every runtime takes an initializer as an output. String and sparse
/// constants stay, too.
/// </summary>
internal static class ConstantNodes
{
    public static StepResult Apply(OnnxModel model)
    {
        var changes = 0;
        foreach (var index in GraphEdit.Indexes(model))
        {
            var graph = index.Graph;
            var done = GraphEdit.Set<NodeProto>();
            foreach (var node in graph.Node.Where(n => n.Is("Constant") && n.Output.Count == 1 && n.Attribute.Count == 1 && !index.IsOutput(n.Output[0])))
            {
                if (index.Constant(node.Output[0]) is not { } tensor || (DataType)tensor.DataType == DataType.String)
                    continue;
                var initializer = tensor.Clone();
                initializer.Name = node.Output[0];
                graph.Initializer.Add(initializer);
                done.Add(node);
            }

            GraphEdit.RemoveNodes(graph, done);
            changes += done.Count;
        }

        return new StepResult(changes, []);
    }
}
