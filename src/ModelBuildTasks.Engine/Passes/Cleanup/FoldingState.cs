using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.CleanupSteps;

/// <summary>How much constant folding has let a model grow so far.</summary>
internal sealed class FoldingState(OnnxModel model)
{
    /// <summary>Bytes that a model may grow by through results that are no weights: 1 %, and 16 KiB in any case.</summary>
    public long SmallGrowth { get; set; } = Math.Max(16 << 10, TotalBytes(model) / 100);

    /// <summary>Bytes that a model may grow by through weights that later passes compress, such as the transposed copy of a tied embedding.</summary>
    public long WeightGrowth { get; set; } = Math.Max(256 << 10, TotalBytes(model) / 4);

    /// <summary>Nodes that ONNX Runtime could not compute.</summary>
    public HashSet<NodeProto> Failed { get; } = GraphEdit.Set<NodeProto>();

    private static long TotalBytes(OnnxModel model) => TensorWalk.All(model.Proto).Sum(model.ByteLength);
}
