using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Passes.DistillationSteps;

/// <summary>The samples of a dataset one by one, and batches of any of them.</summary>
internal sealed class TrainingSamples : IDisposable
{
    private readonly SampleStore _samples;
    private readonly List<long[]> _labels = [];
    private readonly Dictionary<string, Tensor> _constants = [];

    /// <summary>Reads all samples, none of which depends on another.</summary>
    /// <param name="data">The dataset.</param>
    /// <param name="constants">Inputs that have the same value in every sample.</param>
    /// <param name="memory">Bytes of them that stay in memory; the others are in a file.</param>
    /// <param name="cancellation">Ends reading.</param>
    /// <exception cref="ModelBuildException">MBT2042: samples differ in shape.</exception>
    public TrainingSamples(IDataset data, IReadOnlyCollection<string> constants, long memory, CancellationToken cancellation)
    {
        _samples = new(memory);
        var shapes = new Dictionary<string, long[]>();
        foreach (var batch in data.Batches())
        {
            cancellation.ThrowIfCancellationRequested();
            if (batch.Labels is { } labels)
                _labels.AddRange(labels.Chunk(labels.Length / batch.Count));
            foreach (var (name, tensor) in batch.Inputs)
            {
                if (constants.Contains(name))
                {
                    _constants.TryAdd(name, tensor);
                    continue;
                }

                Check(shapes, name, One(tensor, 0, batch.Count).Shape, data);
                _samples.Add(name, tensor, batch.Count, batch.Count);
            }

            Count += batch.Count;
        }
    }

    /// <summary>How many there are.</summary>
    public int Count { get; }

    /// <summary>The samples of the given numbers, one after the other along the first axis.</summary>
    public Dictionary<string, Tensor> Batch(ReadOnlySpan<int> numbers)
    {
        var batch = _samples.Batch(numbers);
        foreach (var (name, tensor) in _constants)
            batch[name] = tensor;
        return batch;
    }

    /// <inheritdoc/>
    public void Dispose() => _samples.Dispose();

    /// <summary>Samples of a step are one tensor.</summary>
    private static void Check(Dictionary<string, long[]> shapes, string name, long[] shape, IDataset data)
    {
        if (!shapes.TryGetValue(name, out var first))
            shapes[name] = shape;
        else if (!shape.SequenceEqual(first))
            throw new ModelBuildException(DiagnosticCodes.UnknownTrainingShape, $"the samples of '{data.Description}' differ in shape: '{name}' is [{string.Join(',', first)}] and [{string.Join(',', shape)}], and a step of training takes several as one; give them one shape, images by 'resize' or 'crop'");
    }

    /// <summary>The labels of the samples of the given numbers, or null where there are none.</summary>
    public long[]? Labels(ReadOnlySpan<int> numbers)
    {
        if (_labels.Count != Count)
            return null;
        var labels = new List<long>();
        foreach (var number in numbers)
            labels.AddRange(_labels[number]);
        return [.. labels];
    }

    /// <summary>A shape whose first axis is as many times as long.</summary>
    internal static long[] Times(long[] shape, int count) => shape.Length == 0 ? [count] : [shape[0] * count, .. shape[1..]];

    /// <summary>One sample's part of a tensor along the first axis.</summary>
    internal static Tensor One(Tensor tensor, int number, int count)
    {
        if (count == 1)
            return tensor;
        var length = tensor.Bytes.Length / count;
        return new(tensor.Type, [tensor.Shape[0] / count, .. tensor.Shape[1..]], tensor.Bytes[(number * length)..((number + 1) * length)]);
    }
}
