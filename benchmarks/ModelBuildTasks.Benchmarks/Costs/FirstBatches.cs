using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Benchmarks.Costs;

/// <summary>A few batches: enough to find ranges for timing.</summary>
internal sealed class FirstBatches(IReadOnlyList<Batch> batches, IReadOnlyDictionary<string, string> feedback) : IDataset
{
    public long Count => batches.Sum(b => b.Count);

    public bool HasLabels => false;

    public string Description => "first batches";

    public string ContentHash => "";

    public IReadOnlyDictionary<string, string> Feedback => feedback;

    public IEnumerable<Batch> Batches() => batches;

    /// <summary>The first batches of a dataset.</summary>
    public static FirstBatches Of(IDataset data) => new([.. data.Batches().Take(3)], data.Feedback);

    /// <summary>Seeded random values in ±1 for a model of float inputs with fixed shapes.</summary>
    public static FirstBatches Random(OnnxModel model)
    {
        var random = new Random(2);
        return new([.. Enumerable.Range(0, 2).Select(_ => new Batch(model.Inputs.ToDictionary(i => i.Name, Values), null, 1))], new Dictionary<string, string>());

        Tensor Values(ValueDescription input) => Tensor.Of<float>(
            DataType.Float, input.Shape!, [.. Enumerable.Range(0, (int)ElementTypes.Count(input.Shape!)).Select(_ => (float)(random.NextDouble() * 2 - 1))]);
    }
}
