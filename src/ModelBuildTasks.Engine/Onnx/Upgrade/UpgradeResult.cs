namespace ModelBuildTasks.Engine.Onnx;

/// <summary>What became of a model that was to be brought to a newer operator set.</summary>
/// <param name="Model">The upgraded model, or the model as it was given when there was nothing to do or no way to do it.</param>
/// <param name="From">The opset of the model as it was given.</param>
/// <param name="To">The opset of <paramref name="Model"/>.</param>
/// <param name="Reason">Why the model stayed below the opset that was asked for; null when it did not.</param>
/// <param name="Changes">What was rewritten, one line for each operator and version.</param>
internal sealed record UpgradeResult(OnnxModel Model, long From, long To, string? Reason, IReadOnlyList<string> Changes);
