using ModelBuildTasks.Engine.Passes.Quantization.Search;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured;

/// <summary>
/// What lies between a value and the Add that joins it again: a block that can go as a whole, and does so without a trace when it adds zero.
/// </summary>
/// <param name="Id">Index in <see cref="ChannelAnalysis.Branches"/>.</param>
/// <param name="Name">For people: the first weighted node of the branch.</param>
/// <param name="Join">The Add.</param>
/// <param name="Shortcut">Index of the Add's input that goes around the branch.</param>
/// <param name="Nodes">The nodes that only the branch needs, in graph order.</param>
/// <param name="Parameters">Elements of the constants that only they read.</param>
/// <param name="Macs">Their multiply-accumulates; of one sample where the first axis is free.</param>
internal sealed record ResidualBranch(int Id, string Name, NodeAddress Join, int Shortcut, IReadOnlyList<NodeAddress> Nodes, long Parameters, long Macs);
