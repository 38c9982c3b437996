using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.CleanupSteps;

/// <summary>
/// Replaces <c>Shape</c> by its result where all dimensions are known without a run, and <c>Gather</c> from a shape where those
/// that it picks are: the shape arithmetic of exporters, which constant folding then takes up.
/// </summary>
internal static class StaticShapes
{
    public static StepResult Apply(OnnxModel model, InferredTypes types)
    {
        var decisions = new List<Decision>();
        foreach (var index in GraphEdit.Indexes(model))
        {
            var graph = index.Graph;
            var done = GraphEdit.Set<NodeProto>();
            for (var i = 0; i < graph.Node.Count; i++)
            {
                var node = graph.Node[i];
                if (Result(model, index, types, node) is not var (dims, values))
                    continue;
                var output = node.Output[0];
                var tensor = model.CreateTensor<long>(output, DataType.Int64, dims, values);
                if (index.IsOutput(output))
                {
                    graph.Node[i] = GraphExtensions.Node("Constant", [], [output], node.Name).Set("value", tensor);
                }
                else
                {
                    graph.Initializer.Add(tensor);
                    done.Add(node);
                }

                decisions.Add(new Decision(node.DisplayName(), node.OpType, "folded", "the shape that it reads is known"));
            }

            GraphEdit.RemoveNodes(graph, done);
        }

        return StepResult.Of(decisions);
    }

    private static (IEnumerable<long> Dims, long[] Values)? Result(OnnxModel model, GraphIndex index, InferredTypes types, NodeProto node)
    {
        if (node.Is("Shape"))
            return Dimensions(types, node) is { } all && all.All(d => d >= 0) ? ([all.Length], all) : null;
        if (!node.Is("Gather") || index.Producer(node.InputOrEmpty(0)) is not { } shape || !shape.Is("Shape") || Dimensions(types, shape) is not { } dims)
            return null;
        if (index.Constant(node.InputOrEmpty(1)) is not { Dims.Count: <= 1 } indices)
            return null;
        var picked = model.ReadInt64s(indices).Select(i => i < 0 ? i + dims.Length : i).ToList();
        return picked.All(i => i >= 0 && i < dims.Length && dims[i] >= 0) ? (indices.Dims, [.. picked.Select(i => dims[i])]) : null;
    }

    /// <summary>What a <c>Shape</c> gives, -1 for dimensions that are not known; null where not even their number is.</summary>
    private static long[]? Dimensions(InferredTypes types, NodeProto shape)
    {
        if (types.Shape(shape.InputOrEmpty(0)) is not { } dims)
            return null;
        var (start, end) = (Clamp(shape.Int("start"), dims.Length), Clamp(shape.Int("end", dims.Length), dims.Length));
        return start < end ? dims[start..end] : [];
    }

    private static int Clamp(long axis, int rank) => (int)Math.Clamp(axis < 0 ? axis + rank : axis, 0, rank);
}
