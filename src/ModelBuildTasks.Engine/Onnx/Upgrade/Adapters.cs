namespace ModelBuildTasks.Engine.Onnx.Upgrade;

/// <summary>All adapters. A form change of <see cref="OperatorHistory"/> without one here cannot be followed.</summary>
internal static class Adapters
{
    public static IEnumerable<Adapter> All =>
        AttributeAdapters.All.Concat(SoftmaxAdapters.All).Concat(ResizeAdapters.All).Concat(NormalizationAdapters.All);
}
