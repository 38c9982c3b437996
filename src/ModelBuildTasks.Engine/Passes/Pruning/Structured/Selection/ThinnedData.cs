using ModelBuildTasks.Engine.Data;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured.Selection;

/// <summary>So many samples of a dataset, spread evenly.</summary>
/// <param name="source">The dataset; not a stream.</param>
/// <param name="samples">How many at most.</param>
internal sealed class ThinnedData(IDataset source, long samples) : IDataset
{
    private long Stride => Math.Max(1, (source.Count + samples - 1) / samples);

    public long Count => (source.Count + Stride - 1) / Stride;

    public bool HasLabels => source.HasLabels;

    public string Description => source.Description;

    public string ContentHash => "";

    public IReadOnlyDictionary<string, string> Feedback => source.Feedback;

    public IEnumerable<Batch> Batches()
    {
        long sample = 0, next = 0;
        foreach (var batch in source.Batches())
        {
            if (sample >= next)
            {
                yield return batch;
                next += Stride * Math.Max(1, batch.Count);
            }

            sample += batch.Count;
        }
    }
}
