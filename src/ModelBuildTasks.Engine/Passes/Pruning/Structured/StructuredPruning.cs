using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured;

/// <summary>Removes channels, heads and residual blocks, so that tensors become smaller.</summary>
internal static class StructuredPruning
{
    /// <summary>Prunes a copy of the model.</summary>
    /// <exception cref="ModelBuildException">MBT1010: always, this structure is not there yet.</exception>
    public static PassResult Run(OnnxModel model, PrunePlan plan, PassContext context)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(context);
        throw new ModelBuildException(DiagnosticCodes.NotAvailable, $"'structure: {plan.Structure.ToString().ToLowerInvariant()}' is not available in this version; available: unstructured, N:M, blocks", plan.Location);
    }
}
