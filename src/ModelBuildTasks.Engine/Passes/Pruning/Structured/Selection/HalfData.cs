using ModelBuildTasks.Engine.Data;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured.Selection;

/// <summary>Every second batch of a dataset.</summary>
/// <param name="source">The dataset; not a stream.</param>
/// <param name="which">0 for the first, third, ... batch, 1 for the second, fourth, ...</param>
internal sealed class HalfData(IDataset source, int which) : IDataset
{
    public long Count => (source.Count + 1 - which) / 2;

    public bool HasLabels => source.HasLabels;

    public string Description => source.Description;

    public string ContentHash => source.ContentHash.Length == 0 ? "" : $"{source.ContentHash} half {which}";

    public IReadOnlyDictionary<string, string> Feedback => source.Feedback;

    public IEnumerable<Batch> Batches() => source.Batches().Where((_, i) => i % 2 == which);
}
