using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Hashing;

namespace ModelBuildTasks.Engine.Data;

/// <summary>Feeds for all inputs, and the samples that are asked of them.</summary>
internal sealed class FittedDataset : IDataset
{
    // A batch is a matter of speed, which a larger one no longer serves.
    private const long LargestBatch = 1L << 28;

    private readonly IReadOnlyList<Feed> _feeds;
    private readonly LabelSource? _labels;
    private readonly SampleOrder _order;
    private readonly int _batch;
    private readonly Lazy<string> _hash;

    /// <summary>Settles on the number of samples in a run.</summary>
    /// <param name="feeds">A feed for each input of the model.</param>
    /// <param name="labels">The labels, or null.</param>
    /// <param name="order">The samples.</param>
    /// <param name="batch">Samples a run, as asked for.</param>
    /// <param name="description">What the data is, for reports.</param>
    /// <param name="location">Where the dataset is used.</param>
    /// <exception cref="ModelBuildException">Inputs that want different numbers of samples, or too few samples for one run.</exception>
    public FittedDataset(IReadOnlyList<Feed> feeds, LabelSource? labels, SampleOrder order, int batch, string description, SourceLocation location)
    {
        (_feeds, _labels, Description) = (feeds, labels, description);
        var fixedFeeds = feeds.Where(f => f.RunBatch is not null).ToList();
        if (fixedFeeds.FirstOrDefault(f => f.RunBatch != fixedFeeds[0].RunBatch) is { } other)
        {
            throw DatasetError.DoesNotFit(
                $"The model's input '{fixedFeeds[0].Input.Name}' takes {fixedFeeds[0].RunBatch} samples a run, and '{other.Input.Name}' takes {other.RunBatch}", location);
        }

        var perSample = Math.Max(1, feeds.Select(f => f.SampleBytes).DefaultIfEmpty().Max());
        _batch = fixedFeeds.Count > 0 ? fixedFeeds[0].RunBatch!.Value : (int)Math.Min(Math.Max(1, batch), Math.Max(1, LargestBatch / perSample));
        if (fixedFeeds.Count > 0 && order.Count < _batch)
            throw DatasetError.DoesNotFit($"The model's input '{fixedFeeds[0].Input.Name}' takes {_batch} samples a run, and there are only {order.Count}", location);
        // A model of a fixed batch cannot run on what is left over.
        _order = fixedFeeds.Count > 0 ? order.Narrow(0, order.Count / _batch * _batch) : order;
        _hash = new(Hash);
        Feedback = feeds.OfType<FeedbackFeed>().ToDictionary(f => f.Input.Name, f => f.Output);
        if (Feedback.Count > 0 && _batch != 1)
            throw DatasetError.DoesNotFit($"The model's input '{fixedFeeds[0].Input.Name}' takes {_batch} samples a run; with 'feedback' a run has one sample", location);
    }

    public long Count => _order.Count;

    public bool HasLabels => _labels is not null;

    public string Description { get; }

    public IReadOnlyDictionary<string, string> Feedback { get; }

    public string ContentHash => _hash.Value;

    public IEnumerable<Batch> Batches()
    {
        var readers = new List<IFeedReader>();
        LabelSource.Reader? labels = null;
        try
        {
            foreach (var feed in _feeds)
                readers.Add(feed.Open());
            labels = _labels?.Read();
            for (long start = 0; start < _order.Count; start += _batch)
            {
                var samples = new long[Math.Min(_batch, _order.Count - start)];
                for (var i = 0; i < samples.Length; i++)
                    samples[i] = _order[start + i];
                var inputs = new Dictionary<string, Tensor>();
                for (var i = 0; i < readers.Count; i++)
                    inputs.Add(_feeds[i].Input.Name, readers[i].Read(samples));
                yield return new(inputs, labels?.Read(samples), samples.Length) { SequenceStart = StartsSequence(start) };
            }
        }
        finally
        {
            readers.ForEach(r => r.Dispose());
            labels?.Dispose();
        }
    }

    private bool StartsSequence(long position) => Feedback.Count > 0
        && (position == 0 || _feeds.Any(f => f.SequenceOf(_order[position]) != f.SequenceOf(_order[position - 1])));

    private string Hash()
    {
        using var hash = new ContentHasher();
        foreach (var feed in _feeds)
            feed.AddTo(hash);
        hash.Add(HasLabels ? "labels" : "");
        _labels?.AddTo(hash);
        hash.Add(_batch);
        _order.AddTo(hash);
        return hash.Finish();
    }
}
