using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.DistillationSteps.Blocks;

/// <summary>A part of a graph whose weights are trained together.</summary>
/// <param name="Nodes">Its nodes, in order.</param>
/// <param name="Ends">The values that are compared with the teacher's: one, or for the last block what the loss is taken of.</param>
internal sealed record Block(IReadOnlyList<NodeProto> Nodes, IReadOnlyList<string> Ends);
