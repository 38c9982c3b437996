using ModelBuildTasks.Engine.Autodiff.Losses;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.DistillationSteps;
using ModelBuildTasks.Engine.Passes.Quantization;
using ModelBuildTasks.Engine.Statistics;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.Pruning.Scores;

/// <summary>A weight whose product with its inputs is the scores of classes, see <see cref="DefaultTerms"/>: what an error of a score does to the answer is known, so its rows are pruned by that.</summary>
/// <param name="Use">The node and the weight.</param>
/// <param name="Bias">What the node itself adds; null for nothing.</param>
/// <param name="Behind">What is added behind the node; null for nothing.</param>
internal sealed record ScoreProduct(NodeWeight Use, float[]? Bias, float[]? Behind)
{
    // Of all weights together, as much as the matrices that weights are rounded by.
    private const long MostOfAll = 256L << 20;

    /// <summary>Scores.</summary>
    public int Classes => (int)Use.Channels;

    /// <summary>Inputs.</summary>
    public int Columns => (int)(Use.Count / Use.Channels);

    /// <summary>The weights of a model whose products are scores, and whose moments are not too large.</summary>
    /// <param name="model">The model.</param>
    /// <param name="weights">Weights that may be pruned.</param>
    /// <param name="loss">How outputs are compared.</param>
    /// <param name="largest">Most bytes of the moments of a weight.</param>
    public static IReadOnlyDictionary<PrunableWeight, ScoreProduct> Find(OnnxModel model, IEnumerable<PrunableWeight> weights, OutputLoss loss, long largest = GramMatrix.MaximumBytes)
    {
        var index = new GraphIndex(model, model.Graph);
        var found = new Dictionary<PrunableWeight, ScoreProduct>(ReferenceEqualityComparer.Instance);
        var byNode = weights.Where(w => w.Uses is [{ Graph: 0, Input: 1 }] && (DataType)w.Tensor.DataType == DataType.Float).ToDictionary(w => w.Uses[0].Node, (IEqualityComparer<NodeProto>)ReferenceEqualityComparer.Instance);
        var left = MostOfAll;
        foreach (var term in DefaultTerms.ByOutput(model, loss).Values.Where(t => t.Kind == LossKind.Divergence))
        {
            var (node, behind) = (index.Producer(term.Value), (float[]?)null);
            if (node is not null && node.Is("Add") && node.Input.Select(index.Constant).OfType<TensorProto>().FirstOrDefault() is { } added && (DataType)added.DataType == DataType.Float)
            {
                behind = model.ReadFloats(added);
                // One number for each class, or one for all.
                if (behind.Length != 1 && (added.Dims.Count == 0 || added.Dims[^1] != behind.Length))
                    continue;
                node = node.Input.Select(index.Producer).OfType<NodeProto>().FirstOrDefault();
            }

            if (node is null || !byNode.TryGetValue(node, out var weight) || Of(model, weight.Uses[0], behind, term.Axis) is not { } product)
                continue;
            var bytes = ScoreMoments.Bytes(product.Columns, product.Classes);
            if (bytes > largest || bytes > left)
                continue;
            left -= bytes;
            found[weight] = product;
        }

        return found;
    }

    /// <summary>What is to be gathered, with what it observes added to a graph.</summary>
    /// <param name="model">The graph, edited in place.</param>
    /// <param name="input">The inputs, which may be those of a pruned copy.</param>
    /// <param name="names">Free names.</param>
    public ScoreMoments Observe(OnnxModel model, string input, NameAllocator names)
    {
        var both = names.Next("scores");
        model.Graph.Node.Add(GraphExtensions.Node("Concat", [input, Use.Node.Output[0]], [both]).Set("axis", -1L));
        return new(both, Columns, Classes, Bias, Behind);
    }

    private static ScoreProduct? Of(OnnxModel model, NodeWeight use, float[]? behind, int axis)
    {
        var node = use.Node;
        var isGemm = node.Is("Gemm");
        if (!(isGemm || node.Is("MatMul")) || use.Tensor.Dims.Count != 2 || (axis != -1 && !(isGemm && axis == 1)))
            return null;
        if (isGemm && (node.Int("transA") != 0 || node.Float("alpha", 1) != 1 || (node.InputOrEmpty(2).Length > 0 && use.Bias is null)))
            return null;
        var classes = (int)use.Channels;
        // One number added to all scores changes nothing.
        behind = behind is { Length: 1 } ? null : behind;
        var bias = use.Bias is { } tensor ? model.ReadFloats(tensor) : null;
        return classes < 2 || (behind?.Length ?? classes) != classes || (bias?.Length ?? classes) != classes ? null : new(use, bias, behind);
    }
}
