using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.HalfPrecision;

namespace ModelBuildTasks.Engine.Passes;

/// <summary>
/// float16: as a form of storage, with a Cast that the runtime does when it loads the model, or as arithmetic, for runtimes that are made for it.
/// </summary>
public static class Float16Pass
{
    /// <summary>Converts a copy of a model that was cleaned up.</summary>
    /// <param name="model">The model; unchanged.</param>
    /// <param name="plan">What is asked for.</param>
    /// <param name="context">Policy, rules and calibration data.</param>
    /// <exception cref="Diagnostics.ModelBuildException">MBT2004: the model does not run on the calibration data. MBT2033: the types of the result contradict each other.</exception>
    public static PassResult Run(OnnxModel model, Float16Plan plan, PassContext context) =>
        plan.Compute ?? context.Runtime.Float16.Compute ? new HalfCompute(model, plan, context).Run() : new HalfStorage(model, context).Run();
}
