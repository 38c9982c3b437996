using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured;

internal sealed partial record ChannelAnalysis
{
    public static partial ChannelAnalysis Of(OnnxModel model, IReadOnlyDictionary<string, ValueDescription> shapes) => throw new NotImplementedException();
}

internal static partial class ChannelSurgery
{
    public static partial void Remove(OnnxModel clone, ChannelAnalysis analysis, IReadOnlyDictionary<int, IReadOnlyList<int>> removed) => throw new NotImplementedException();

    public static partial string? Vanishing(ChannelAnalysis analysis, IReadOnlyDictionary<int, IReadOnlyList<int>> removed) => throw new NotImplementedException();

    public static partial void RemoveBranches(OnnxModel clone, ChannelAnalysis analysis, IReadOnlyCollection<int> branches) => throw new NotImplementedException();
}
