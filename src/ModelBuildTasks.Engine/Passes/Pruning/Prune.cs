using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Pruning;
using ModelBuildTasks.Engine.Passes.Pruning.Structured;
using ModelBuildTasks.Engine.Passes.Quantization;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes;

/// <summary>
/// Removes what the outputs miss least: single weights, N of M, or blocks, in whose place zeros stand, or channels, attention heads and residual blocks,
/// so that tensors become smaller. Weights are those of <c>Conv</c>, <c>ConvTranspose</c>, <c>MatMul</c>, <c>Gemm</c> and recurrent operators, wherever
/// they are stored. Zeros take as much room as the values did; storage and other passes make use of them.
/// </summary>
public static class Prune
{
    /// <summary>Prunes a copy of the model.</summary>
    /// <param name="model">The model; it stays as it is.</param>
    /// <param name="plan">
    /// What is removed, how much of it, and how it is chosen. Of single weights with the same share of each layer exactly floor(amount·count) become zero, by magnitude of
    /// equal ones those that come first.
    /// </param>
    /// <param name="context">Rules, and calibration data for all methods but magnitude.</param>
    /// <exception cref="ModelBuildException">MBT2004: the model does not run on the calibration data. MBT2060, MBT2061: so much cannot be removed, or nothing. MBT2066: weights are not float32.</exception>
    public static PassResult Run(OnnxModel model, PrunePlan plan, PassContext context)
    {
        if (plan is { RemovesShape: false, Quantize: null } && ZeroPruning.ReadsData(plan, context) && Widened(model, plan, context) is { } result)
            return result;
        RefuseOtherTypes(model, plan, context);
        return plan.RemovesShape ? StructuredPruning.Run(model, plan, context) : ZeroPruning.Run(model, plan, context);
    }

    /// <summary>What a float16 model computes is looked at in float32; weights that are zero there are so in float16. Null where no weight is float16, or not all that is can be widened.</summary>
    private static PassResult? Widened(OnnxModel model, PrunePlan plan, PassContext context)
    {
        static bool isHalf(TensorProto? tensor) => (DataType?)tensor?.DataType == DataType.Float16;
        var nodes = PrunableWeights.Find(model, new RuleSet(model, context.Rules));
        if (!nodes.Any(n => n.Weights.Any(w => isHalf(w.Tensor))) || WideArithmetic.Apply(model) is not { } wide)
            return null;
        RefuseOtherTypes(wide, plan, context);
        var result = ZeroPruning.Run(wide, plan, context);
        var narrow = nodes.Where(n => n.Node.Input.Any(i => isHalf(n.Graph.Constant(i)))).Select(n => n.Node.DisplayName()).ToHashSet();
        return result with
        {
            Model = NarrowArithmetic.Apply(model, wide, result.Model),
            Decisions = [.. result.Decisions.Select(d => narrow.Contains(d.Name) ? d with { BytesBefore = d.BytesBefore / 2, BytesAfter = d.BytesAfter / 2 } : d)],
        };
    }

    /// <summary>What is chosen or repaired by calibration data is float32; the magnitudes of any type can be compared.</summary>
    private static void RefuseOtherTypes(OnnxModel model, PrunePlan plan, PassContext context)
    {
        var readsData = plan is { Structure: PruneStructure.Channels or PruneStructure.Heads } && context.Calibration is not null && (plan.Method != PruneMethod.Magnitude || plan.Repair != PruneRepair.None)
            || plan.Method is not (PruneMethod.Auto or PruneMethod.Magnitude) || plan.Repair is PruneRepair.Refit or PruneRepair.Bias || plan.Allocation == PruneAllocation.Loss || plan.Quantize is not null;
        if (!readsData)
            return;
        foreach (var node in PrunableWeights.Find(model, new RuleSet(model, context.Rules)))
        {
            if (node.Weights.FirstOrDefault(w => (DataType)w.Tensor.DataType != DataType.Float) is { } weight)
                throw new ModelBuildException(DiagnosticCodes.PrunedInFloat32, $"pruning by calibration data reads float32, and the weight of {node.Node.OpType} '{node.Node.DisplayName()}' is {ElementTypes.Name((DataType)weight.Tensor.DataType)}; take the model's float32 form, with 'float16' behind 'prune', or 'method: magnitude, repair: none'", plan.Location);
        }
    }
}
