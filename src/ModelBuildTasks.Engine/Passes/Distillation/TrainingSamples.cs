using ModelBuildTasks.Engine.Data;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Passes.DistillationSteps;

/// <summary>The samples of a dataset one by one, and batches of any of them.</summary>
internal sealed class TrainingSamples
{
    private readonly List<IReadOnlyDictionary<string, Tensor>> _samples = [];
    private readonly List<long[]> _labels = [];
    private readonly IReadOnlyCollection<string> _constants;

    /// <summary>Reads all samples, none of which depends on another.</summary>
    public TrainingSamples(IDataset data, IReadOnlyCollection<string> constants, CancellationToken cancellation)
    {
        _constants = constants;
        foreach (var batch in data.Batches())
        {
            cancellation.ThrowIfCancellationRequested();
            if (batch.Labels is { } labels)
                _labels.AddRange(labels.Chunk(labels.Length / batch.Count));
            for (var i = 0; i < batch.Count; i++)
                _samples.Add(batch.Inputs.ToDictionary(t => t.Key, t => constants.Contains(t.Key) ? t.Value : One(t.Value, i, batch.Count)));
        }
    }

    /// <summary>How many there are.</summary>
    public int Count => _samples.Count;

    /// <summary>The samples of the given numbers, one after the other along the first axis.</summary>
    public Dictionary<string, Tensor> Batch(ReadOnlySpan<int> numbers)
    {
        var first = _samples[numbers[0]];
        var batch = new Dictionary<string, Tensor>();
        foreach (var (name, tensor) in first)
        {
            if (_constants.Contains(name))
            {
                batch[name] = tensor;
                continue;
            }

            var bytes = new byte[TrainingMemory.Together(tensor.Bytes.Length, numbers.Length)];
            for (var i = 0; i < numbers.Length; i++)
                _samples[numbers[i]][name].Bytes.CopyTo(bytes, i * tensor.Bytes.Length);
            batch[name] = new(tensor.Type, Times(tensor.Shape, numbers.Length), bytes);
        }

        return batch;
    }

    /// <summary>The labels of the samples of the given numbers, or null where there are none.</summary>
    public long[]? Labels(ReadOnlySpan<int> numbers)
    {
        if (_labels.Count != _samples.Count)
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
