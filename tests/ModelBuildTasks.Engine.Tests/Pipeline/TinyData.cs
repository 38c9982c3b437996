using ModelBuildTasks.Engine.Data;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Pipeline;

/// <summary>Samples [1, 4] of a tiny model, with or without labels.</summary>
internal sealed class TinyData(float[][] samples, long[]? labels = null) : IDataset
{
    public static TinyData Unlabelled { get; } = new([[3, 1, 0, 0], [0, 2, 1, 0], [1, 0, 4, 0], [1, 2, 0, 1]]);

    public long Count => samples.Length;

    public bool HasLabels => labels is not null;

    public string Description => "tiny";

    public string ContentHash => string.Join(',', samples.SelectMany(s => s)) + "/" + string.Join(',', labels ?? []);

    public IEnumerable<Batch> Batches() => samples.Select((s, i) =>
        new Batch(new Dictionary<string, Tensor> { ["x"] = Tensor.Of<float>(DataType.Float, [1, s.Length], s) }, labels is null ? null : [labels[i]], 1));
}
