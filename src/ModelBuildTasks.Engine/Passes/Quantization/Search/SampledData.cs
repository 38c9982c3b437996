using ModelBuildTasks.Engine.Data;

namespace ModelBuildTasks.Engine.Passes.Quantization.Search;

/// <summary>Some batches of a dataset, in memory.</summary>
internal sealed class SampledData(IDataset source, IReadOnlyList<Batch> batches) : IDataset
{
    // What the batches of one sample set may take.
    private const long LargestMemory = 128L << 20;

    public long Count => batches.Sum(b => (long)b.Count);

    public bool HasLabels => false;

    public string Description => source.Description;

    // Not stored anywhere: no key is needed.
    public string ContentHash => "";

    public IReadOnlyDictionary<string, string> Feedback => source.Feedback;

    public IEnumerable<Batch> Batches() => batches;

    /// <summary>
    /// Two sets of batches spread evenly over the data, one to observe and one to judge by. Streams have to be run from their start:
    /// there both sets are the first batches.
    /// </summary>
    /// <param name="data">The data.</param>
    /// <param name="each">Batches of each set at most.</param>
    public static (SampledData Seen, SampledData Judge) Split(IDataset data, int each)
    {
        if (data.Feedback.Count > 0)
        {
            var first = new SampledData(data, Take(data.Batches(), 2 * each));
            return (first, first);
        }

        var stride = Math.Max(1, data.Count / (2L * each));
        var all = Take(data.Batches().Where((_, i) => i % stride == 0), 2 * each);
        return (new(data, [.. all.Where((_, i) => i % 2 == 0)]), new(data, [.. all.Where((_, i) => i % 2 == 1)]));
    }

    private static List<Batch> Take(IEnumerable<Batch> batches, int count)
    {
        var taken = new List<Batch>();
        long bytes = 0;
        foreach (var batch in batches)
        {
            bytes += batch.Inputs.Values.Sum(t => (long)t.Bytes.Length);
            if (taken.Count == count || bytes > LargestMemory && taken.Count > 1)
                break;
            taken.Add(batch);
        }

        return taken;
    }
}
