using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Tests.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Passes.Quantization;

/// <summary>Batches given one by one.</summary>
internal sealed class ListDataset(IReadOnlyList<Batch> batches) : IDataset
{
    public long Count => batches.Sum(b => b.Count);

    public bool HasLabels => false;

    public string Description => "list";

    public string ContentHash => "";

    /// <summary>Called for each batch that is read.</summary>
    public Action? Read { get; init; }

    public IEnumerable<Batch> Batches() => Read is null ? batches : batches.Select(b =>
    {
        Read();
        return b;
    });

    public static ListDataset Random(OnnxModel model, int count) =>
        new([.. Enumerable.Range(0, count).Select(i => new Batch(RandomInputs.For(model, seed: i), null, 1))]);

    public static Batch Batch(string name, long[] shape, params float[] values) =>
        new(new Dictionary<string, Tensor> { [name] = Tensor.Of<float>(DataType.Float, shape, values) }, null, 1);
}
