using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.Quantization.Storage;

/// <summary>
/// A matrix that is the transposition of another one, as an embedding table that is also a language model's head, is stored
/// once: the other becomes a Transpose, which the runtime computes when it loads the model.
/// </summary>
internal static class TransposedTwins
{
    // A node and its names.
    private const int Overhead = 100;

    /// <summary>Replaces the second of each pair in the main graph.</summary>
    /// <returns>Bytes that are no longer stored.</returns>
    public static long Merge(RewriteContext context) => Merge(context.Model, DataType.Int8, DataType.Uint8);

    /// <summary>Replaces the second of each pair of matrices of the given types in the main graph.</summary>
    /// <returns>Bytes that are no longer stored.</returns>
    public static long Merge(OnnxModel model, params DataType[] types)
    {
        var graph = model.Graph;
        // An initializer that is listed as input may be given another value.
        var listed = graph.Input.Select(i => i.Name).ToHashSet();
        var matrices = graph.Initializer
            .Where(i => types.Contains((DataType)i.DataType) && i.Dims.Count == 2 && i.Dims.Min() > 1 && model.ByteLength(i) > Overhead && !listed.Contains(i.Name))
            .ToList();
        var gone = new HashSet<TensorProto>(ReferenceEqualityComparer.Instance);
        var nodes = new List<NodeProto>();
        foreach (var (i, first) in matrices.Index())
        {
            if (gone.Contains(first))
                continue;
            foreach (var second in matrices.Skip(i + 1))
            {
                if (gone.Contains(second) || second.DataType != first.DataType || !Transposition.Is(model, first, second))
                    continue;
                nodes.Add(GraphExtensions.Node("Transpose", [first.Name], [second.Name]).Set("perm", 1, 0));
                gone.Add(second);
            }
        }

        if (gone.Count == 0)
            return 0;
        GraphEdit.RemoveInitializers(graph, gone);
        nodes.AddRange(graph.Node);
        graph.Node.Clear();
        graph.Node.AddRange(nodes);
        return gone.Sum(t => model.ByteLength(t));
    }

    /// <summary>The float weights among the choices that are transpositions of a table: both have to be rounded alike to be stored once.</summary>
    public static IReadOnlyList<NodeWeight> Of(OnnxModel model, IReadOnlyList<FormChoice> choices) => [.. Pairs(model, choices).Keys];

    /// <summary>The same, each with its table.</summary>
    public static IReadOnlyDictionary<NodeWeight, NodeWeight> Pairs(OnnxModel model, IReadOnlyList<FormChoice> choices)
    {
        var tables = choices.Where(c => c.Node.OpType == "Gather" && c.Form is not null).SelectMany(c => c.Weights).Where(w => w.Tensor.Dims.Count == 2).ToList();
        var twins = new Dictionary<NodeWeight, NodeWeight>(ReferenceEqualityComparer.Instance);
        if (tables.Count == 0)
            return twins;
        foreach (var weight in choices.Where(c => c.Node.OpType != "Gather").SelectMany(c => c.Weights).Where(w => w.Tensor.Dims.Count == 2))
        {
            if (tables.FirstOrDefault(t => t.Type == weight.Type && Transposition.Is(model, t.Tensor, weight.Tensor)) is { } table)
            {
                twins[weight] = table;
            }
        }

        return twins;
    }
}
