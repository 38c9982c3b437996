using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Passes.Pruning.Structured.Selection;
using ModelBuildTasks.Engine.Passes.Quantization;
using ModelBuildTasks.Engine.Passes.Storage;
using ModelBuildTasks.Engine.Reporting;

namespace ModelBuildTasks.Engine.Pipeline;

/// <summary>Counts what a model costs behind a pass.</summary>
internal static class PassCosts
{
    // A larger file is not written only to be counted.
    private const long LargestFile = 512L << 20;

    /// <summary>The cost of a model that is still float.</summary>
    /// <param name="model">The model.</param>
    /// <param name="context">Policy, data, and whether the package is encoded.</param>
    public static ModelCostReport? Of(OnnxModel model, PassContext context)
    {
        var cost = ModelCost.Of(model, context.Runtime, ModelCost.Shapes(model, context));
        if (cost.Bytes > LargestFile)
            return null;
        long zeros = 0;
        foreach (var weight in GraphEdit.Indexes(model).SelectMany(i => i.Graph.Node.SelectMany(n => NodeWeight.Of(n, i))).DistinctBy(w => w.Tensor, ReferenceEqualityComparer.Instance))
        {
            if (ElementTypes.IsFloat(weight.Type))
                zeros += model.ReadFloats(weight.Tensor).LongCount(v => v == 0);
        }

        var file = model.ToBytes();
        return new(
            cost.Parameters, zeros, cost.Macs, file.LongLength, cost.Parameters * sizeof(float), context.Encoded ? EncodedSize.Of(file) : null,
            cost.Nanoseconds > 0 ? Math.Round(cost.Nanoseconds / 1e6, 4) : null);
    }
}
