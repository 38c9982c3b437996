namespace ModelBuildTasks.Engine.Statistics;

/// <summary>Gathers something of one value of a graph batch by batch, in the order of the dataset whatever thread brings them.</summary>
/// <param name="value">Name of the observed value.</param>
/// <param name="graph">The graph in which it is read, see <see cref="Graph"/>.</param>
internal abstract class OrderedObserver(string value, int graph)
{
    private readonly object _turn = new();
    private int _nextBatch;

    /// <summary>Name of the observed value, as the graph of the node reads it.</summary>
    public string Value { get; } = value;

    /// <summary>
    /// The graph in which the value is read, see <see cref="Onnx.GraphIndex.Number"/>. In the branch of an If only the runs that take the branch count,
    /// also of a value that the branch has from outside.
    /// </summary>
    public int Graph { get; } = graph;

    /// <summary>Adds a batch when all before it were added.</summary>
    /// <param name="batch">Index of the batch in the dataset.</param>
    /// <param name="samples">Samples in the batch.</param>
    /// <param name="values">Row-major values.</param>
    /// <param name="shape">Their dimensions.</param>
    public void Add(int batch, long samples, ReadOnlySpan<float> values, ReadOnlySpan<long> shape)
    {
        WaitFor(batch);
        if (!values.IsEmpty)
            See(samples, values, shape);
    }

    /// <summary>Says that nothing more comes from a batch. Every batch has to be ended, also one that failed or had no such value.</summary>
    public void End(int batch)
    {
        WaitFor(batch);
        lock (_turn)
        {
            _nextBatch++;
            Monitor.PulseAll(_turn);
        }
    }

    /// <summary>Says that there are no more batches.</summary>
    public abstract void Complete();

    /// <summary>Takes in the values of a batch.</summary>
    protected abstract void See(long samples, ReadOnlySpan<float> values, ReadOnlySpan<long> shape);

    private void WaitFor(int batch)
    {
        lock (_turn)
        {
            while (_nextBatch != batch)
                Monitor.Wait(_turn);
        }
    }
}
