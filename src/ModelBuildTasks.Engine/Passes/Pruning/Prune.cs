using System.Globalization;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Pruning;
using ModelBuildTasks.Engine.Passes.Pruning.Structured;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes;

/// <summary>
/// Unstructured magnitude pruning within a layer (Han et al. 2015, "Learning both Weights and Connections"): in the weight of
/// each <c>Conv</c>, <c>ConvTranspose</c>, <c>MatMul</c> and <c>Gemm</c>, wherever it is stored, the values of least magnitude become zero.
/// The zeros take as much room as the values did; storage and other passes make use of them.
/// </summary>
public static class Prune
{
    /// <summary>Prunes a copy of the model.</summary>
    /// <param name="model">The model; it stays as it is.</param>
    /// <param name="plan">The share of each weight that becomes zero: exactly floor(amount·count) values, of equal ones those that come first.</param>
    /// <param name="context">Not needed by this pass but for its progress.</param>
    public static PassResult Run(OnnxModel model, PrunePlan plan, PassContext context)
    {
        if (plan.RemovesShape)
            return StructuredPruning.Run(model, plan, context);
        var clone = model.Clone();
        var decisions = new List<Decision>();
        var pruned = new Dictionary<TensorProto, Decision>(ReferenceEqualityComparer.Instance);
        long zeros = 0, values = 0;
        var nodes = GraphEdit.Indexes(clone).SelectMany(index => index.Graph.Node.Where(IsWeighted).Select(node => (index, node))).ToList();
        for (var i = 0; i < nodes.Count; i++)
        {
            var (index, node) = nodes[i];
            var name = node.DisplayName();
            var weight = Weight(index, node, out var reason);
            if (weight is null)
            {
                var bytes = node.Input.Select(index.Constant).OfType<TensorProto>().Sum(clone.ByteLength);
                decisions.Add(new Decision(name, node.OpType, "left", reason) { BytesBefore = bytes, BytesAfter = bytes });
            }
            else if (pruned.TryGetValue(weight, out var first))
            {
                decisions.Add(first with { Name = name, Op = node.OpType, Reason = $"shares its weight with {first.Op} '{first.Name}'" });
            }
            else
            {
                var result = Magnitudes.Prune(clone.ReadBytes(weight), (DataType)weight.DataType, plan.Amount);
                if (result.Cleared > 0)
                    weight.PayloadRef = clone.Payloads.Add(result.Raw);
                zeros += result.Zeros;
                values += result.Count;
                var share = (100.0 * result.Zeros / result.Count).ToString("0.0", CultureInfo.InvariantCulture);
                var decision = new Decision(name, node.OpType, $"pruned {share} %", result.Cleared > 0 ? "its values of least magnitude are zero" : "so many of its values were zero before")
                {
                    Sqnr = result.Sqnr,
                    BytesBefore = result.Raw.Length,
                    BytesAfter = result.Raw.Length,
                };
                pruned[weight] = decision;
                decisions.Add(decision);
            }

            context.Progress?.Invoke((i + 1.0) / nodes.Count);
        }

        var summary = pruned.Count == 0
            ? "no weight to prune"
            : string.Create(CultureInfo.InvariantCulture, $"{100.0 * zeros / values:0.0} % of {values:N0} values in {pruned.Count} weight{(pruned.Count == 1 ? "" : "s")} are zero");
        return new PassResult(clone, decisions, summary);
    }

    private static bool IsWeighted(NodeProto node) => node.IsStandard()
        && node.OpType is "Conv" or "ConvTranspose" or "MatMul" or "Gemm" or "QLinearConv" or "QLinearMatMul" or "ConvInteger" or "MatMulInteger";

    /// <summary>The weight of a node, or null and why it is left.</summary>
    private static TensorProto? Weight(GraphIndex index, NodeProto node, out string reason)
    {
        reason = "";
        if (node.OpType is "QLinearConv" or "QLinearMatMul" or "ConvInteger" or "MatMulInteger" || node.Input.Take(2).Any(i => index.Producer(i)?.OpType == "DequantizeLinear"))
        {
            reason = "it is quantized already";
            return null;
        }

        var weight = index.Constant(node.InputOrEmpty(1));
        // Of a product, either side may be the weight.
        if (weight is null && node.OpType is "MatMul" or "Gemm")
            weight = index.Constant(node.InputOrEmpty(0));
        reason = weight switch
        {
            null => "its weight is not constant",
            { Dims.Count: < 2 } => "its weight has one dimension",
            _ when !ElementTypes.IsFloat((DataType)weight.DataType) => "it is quantized already",
            _ when !weight.HasPayloadRef => "its weight is empty",
            _ => "",
        };
        return reason.Length == 0 ? weight : null;
    }
}
