using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Quantization;
using ModelBuildTasks.Engine.Passes.Quantization.Bits;
using ModelBuildTasks.Engine.Passes.Quantization.Equalization;
using ModelBuildTasks.Engine.Passes.Quantization.Rounding;
using ModelBuildTasks.Engine.Passes.Quantization.Search;
using ModelBuildTasks.Engine.Passes.Quantization.Storage;

namespace ModelBuildTasks.Engine.Passes;

/// <summary>
/// 8-bit quantization after training: static (QDQ), dynamic, and weights only, decided for each node by the runtime policy and, with
/// calibration data, by the error that each place of rounding makes at the model's outputs.
/// Activations are unsigned with a zero point, weights signed and symmetric with a scale a channel, biases int32.
/// </summary>
public static class Quantize
{
    /// <summary>Quantizes a model that was cleaned up (batch norms folded, constants folded).</summary>
    /// <param name="model">The float model; unchanged.</param>
    /// <param name="plan">What is asked for.</param>
    /// <param name="context">Policy, rules and calibration data.</param>
    /// <exception cref="Diagnostics.ModelBuildException">MBT2004: the model does not run on the calibration data.</exception>
    public static PassResult Run(OnnxModel model, QuantizePlan plan, PassContext context)
    {
        if (plan.Bits is not null)
            return BitsPass.Run(model, plan, context);
        if (!context.Runtime.Float16.Compute)
            model = WideArithmetic.Apply(model) ?? model;
        var searches = plan.Activations == ActivationMode.Auto && context.Calibration is not null;
        var ready = Prepare(model, plan, context, searches ? Repairs.Needs(model, plan) : null);
        IReadOnlyList<Decision> repairs = [];
        if (searches)
        {
            (var repaired, repairs) = RepairSearch.Run(model, plan, context, ready.Calibration.Statistics);
            // Another model has other statistics.
            if (repairs.Count > 0)
                ready = Prepare(repaired, plan, context, null);
        }

        var choices = searches ? new FormSearch(ready.Model, ready.Index, plan, context, ready.Calibration, ready.Rounding).Choose(ready.Choices) : ready.Choices;
        var result = new QuantizationWriter(ready.Model, plan, context.Runtime.Formats, ready.Calibration, ready.Rounding, context.Threads).Write(choices);
        return result with { Decisions = [.. repairs, .. result.Decisions] };
    }

    private static (OnnxModel Model, GraphIndex Index, Calibration Calibration, IReadOnlyList<FormChoice> Choices, WeightRounding? Rounding) Prepare(
        OnnxModel model, QuantizePlan plan, PassContext context, IReadOnlyDictionary<string, int>? channels)
    {
        var index = new GraphIndex(model, model.Graph);
        var calibration = new Calibration(model, plan, context);
        var choices = new FormSelection(model, plan, context).Choose();
        var data = plan.AdaRound && context.Calibration is not null ? RoundingData.Of(model, choices) : null;
        choices = calibration.Observe(index, choices, data?.Matrices ?? [], channels);
        return (model, index, calibration, choices, data is null ? null : new WeightRounding(data, plan, context.Threads));
    }
}
