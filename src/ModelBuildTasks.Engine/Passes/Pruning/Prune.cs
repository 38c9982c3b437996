using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Pruning;
using ModelBuildTasks.Engine.Passes.Pruning.Structured;

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
    /// <exception cref="Diagnostics.ModelBuildException">MBT2004: the model does not run on the calibration data.</exception>
    public static PassResult Run(OnnxModel model, PrunePlan plan, PassContext context) =>
        plan.RemovesShape ? StructuredPruning.Run(model, plan, context) : ZeroPruning.Run(model, plan, context);
}
