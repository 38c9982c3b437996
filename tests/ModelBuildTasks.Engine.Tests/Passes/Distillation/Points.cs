using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Tests.Passes.Quantization;

namespace ModelBuildTasks.Engine.Tests.Passes.Distillation;

/// <summary>Random rows of an input "x" of four values, five a batch.</summary>
/// <param name="count">Rows.</param>
/// <param name="value">What all values are; null for random ones.</param>
/// <param name="labels">A model whose largest output "y" is the label; null for none.</param>
internal sealed class Points(int count, float? value = null, OnnxModel? labels = null) : IDataset
{
    public long Count => count;

    public bool HasLabels => labels is not null;

    public string Description => "points";

    public string ContentHash => "";

    /// <summary>Rows of 32 values, one a batch.</summary>
    public static ListDataset Wide(int count) => new([.. Enumerable.Range(0, count).Select(i => new Batch(new Dictionary<string, Tensor> { ["x"] = SmallModel.Tensor(i, 1, 32) }, null, 1))]);

    public IEnumerable<Batch> Batches()
    {
        using var session = labels is null ? null : new Session(labels, new SessionSettings());
        for (var i = 0; i < count; i += 5)
        {
            var rows = Math.Min(5, count - i);
            var inputs = new Dictionary<string, Tensor> { ["x"] = SmallModel.Tensor(i, rows, 4) };
            if (value is { } v)
                inputs["x"].As<float>().Fill(v);
            var right = session?.Run(inputs)["y"].ToFloats().Chunk(3).Select(s => (long)Array.IndexOf(s, s.Max())).ToArray();
            yield return new(inputs, right, rows);
        }
    }
}
