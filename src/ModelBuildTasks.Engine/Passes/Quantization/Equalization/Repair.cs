using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.Quantization.Equalization;

/// <summary>A float model, and what is known of its values.</summary>
/// <param name="Model">The model, cleaned up; never edited.</param>
/// <param name="Channels">Summaries of the values that <see cref="Repairs.Needs"/> names; values without one are left alone.</param>
internal sealed record RepairState(OnnxModel Model, IReadOnlyDictionary<string, ChannelSummary> Channels);

/// <summary>What a repair made.</summary>
/// <param name="State">The new model with the same function in float, and summaries that fit it.</param>
/// <param name="Decisions">What was done and why; empty when nothing was to be done, and the state is the one given in.</param>
internal sealed record RepairResult(RepairState State, IReadOnlyList<Decision> Decisions)
{
    /// <summary>Whether the model changed.</summary>
    public bool Changed => Decisions.Count > 0;
}

/// <summary>
/// A change of the float model that keeps its function and may make it lose less when it is quantized. Repairs are independent:
/// each can be applied to the state that any others left, or not.
/// </summary>
/// <param name="Kind">The manifest's switch: <c>equalization</c> or <c>smoothquant</c>.</param>
/// <param name="Name">What it does where, for reports.</param>
/// <param name="Nodes">Display names of the nodes whose constants change.</param>
/// <param name="Apply">Applies it.</param>
internal sealed record Repair(string Kind, string Name, IReadOnlyList<string> Nodes, Func<RepairState, RepairResult> Apply);
