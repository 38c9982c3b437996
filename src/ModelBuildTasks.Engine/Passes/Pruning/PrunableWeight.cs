using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Quantization;
using ModelBuildTasks.Engine.Passes.Quantization.Rounding;
using ModelBuildTasks.Engine.Statistics;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.Pruning;

/// <summary>A weight that may be pruned, with all nodes that read it.</summary>
/// <param name="Tensor">The weight.</param>
/// <param name="Rows">Its rows; null where they are not known, as of a weight on the left of a product.</param>
internal sealed record PrunableWeight(TensorProto Tensor, WeightRows? Rows)
{
    /// <summary>Where it is read as a weight; empty where its rows are not known.</summary>
    public List<NodeWeight> Uses { get; } = [];

    /// <summary>Whether other operators read it, too, such as the Gather of a table that is also the last product's weight.</summary>
    public bool IsReadOtherwise { get; set; }

    /// <summary>Number of values.</summary>
    public long Count => ElementTypes.Count(Tensor.Dims);

    /// <summary>Its name with the graph that it is in: the same in every clone.</summary>
    public required (int Home, string Name) Key { get; init; }
}

/// <summary>A node with weights, and which of them may be pruned.</summary>
/// <param name="Graph">The index of its graph.</param>
/// <param name="Node">The node.</param>
/// <param name="Weights">Those that may be pruned.</param>
/// <param name="Reason">Why there are none.</param>
internal sealed record WeightedNode(GraphIndex Graph, NodeProto Node, IReadOnlyList<PrunableWeight> Weights, string Reason);

/// <summary>Finds the weights of a model that may be pruned.</summary>
internal static class PrunableWeights
{
    /// <summary>The nodes of weighted operators in graph order, bodies behind what is around them. Nodes that share a weight have the same <see cref="PrunableWeight"/>.</summary>
    public static IReadOnlyList<WeightedNode> Find(OnnxModel model, RuleSet rules)
    {
        var known = new Dictionary<TensorProto, PrunableWeight>(ReferenceEqualityComparer.Instance);
        var indexes = GraphEdit.Indexes(model).ToList();
        // Also what no weighted operator reads as its weight, such as the table of a Gather.
        var held = indexes.SelectMany(i => i.Graph.Node.Where(n => !rules.MayPrune(n)).SelectMany(n => n.Input.Where(name => name.Length > 0).Select(i.Constant)))
            .OfType<TensorProto>().ToHashSet((IEqualityComparer<TensorProto>)ReferenceEqualityComparer.Instance);
        var found = new List<WeightedNode>();
        foreach (var index in indexes)
        {
            foreach (var node in index.Graph.Node.Where(IsWeighted))
            {
                var weights = new List<PrunableWeight>();
                var reason = "";
                foreach (var input in Inputs(node))
                {
                    if (Problem(index, node, input, held) is { } problem)
                        reason = reason.Length == 0 || reason == NotConstant ? problem : reason;
                    else
                        weights.Add(Weight(index, node, input, known));
                }

                found.Add(new(index, node, weights, weights.Count > 0 ? "" : rules.MayPrune(node) ? reason : "a rule says so"));
            }
        }

        var same = (IEqualityComparer<TensorProto>)ReferenceEqualityComparer.Instance;
        var readers = indexes.SelectMany(i => i.Graph.Node.SelectMany(n => n.Input).Where(n => n.Length > 0).Select(i.Constant)).OfType<TensorProto>().CountBy(t => t, same).ToDictionary(c => c.Key, c => c.Value, same);
        foreach (var weight in known.Values)
            weight.IsReadOtherwise = readers.GetValueOrDefault(weight.Tensor) > weight.Uses.Count;
        return found;
    }

    private const string NotConstant = "its weight is not constant";

    private static bool IsWeighted(NodeProto node) => node.IsStandard() && (NodeWeight.Inputs(node).Count > 0 && node.OpType != "Gather"
        || node.OpType is "QLinearConv" or "QLinearMatMul" or "ConvInteger" or "MatMulInteger");

    // Of a product, either side may be the weight.
    private static IReadOnlyList<int> Inputs(NodeProto node) => node.OpType is "MatMul" or "Gemm" ? [1, 0] : NodeWeight.Inputs(node) is { Count: > 0 } inputs ? inputs : [1];

    private static string? Problem(GraphIndex index, NodeProto node, int input, HashSet<TensorProto> held)
    {
        if (node.OpType is "QLinearConv" or "QLinearMatMul" or "ConvInteger" or "MatMulInteger" || node.Input.Take(2).Any(i => index.Producer(i)?.OpType == "DequantizeLinear"))
            return "it is quantized already";
        return index.Constant(node.InputOrEmpty(input)) switch
        {
            null => NotConstant,
            { Dims.Count: < 2 } => "its weight has one dimension",
            var weight when !ElementTypes.IsFloat((DataType)weight.DataType) => "it is quantized already",
            var weight when !weight.HasPayloadRef => "its weight is empty",
            var weight when held.Contains(weight) => "a rule holds the weight that it shares",
            _ => null,
        };
    }

    private static PrunableWeight Weight(GraphIndex index, NodeProto node, int input, Dictionary<TensorProto, PrunableWeight> known)
    {
        var tensor = index.Constant(node.Input[input])!;
        var use = NodeWeight.Of(node, index).FirstOrDefault(w => w.Input == input);
        if (!known.TryGetValue(tensor, out var weight))
            known[tensor] = weight = new(tensor, use is null ? null : Rows(use)) { Key = (index.Home(node.Input[input]), node.Input[input]) };
        if (use is not null)
            weight.Uses.Add(use);
        return weight;
    }

    private static WeightRows? Rows(NodeWeight weight)
    {
        if (weight.Count is 0 or > int.MaxValue)
            return null;
        // What R of a recurrent node is multiplied with is no value of the graph, but its rows are those of a product.
        var geometry = weight.Node.OpType is "LSTM" or "GRU" or "RNN" && weight.Tensor.Dims.Count == 3 ? GramGeometry.Product((int)weight.Tensor.Dims[2])
            : GramGeometry.Of(weight.Node, weight.Input, weight.Tensor.Dims);
        return geometry is null ? null : WeightRows.Of(weight, geometry);
    }
}
