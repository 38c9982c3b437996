using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Passes.DistillationSteps;

/// <summary>Values of every sample: in memory up to a bound, and beyond it in a file without a name.</summary>
/// <param name="memory">Bytes that stay in memory.</param>
internal sealed class SampleStore(long memory) : IDisposable
{
    private readonly Dictionary<string, (DataType Type, long[] Shape, List<Payload> Parts)> _values = [];
    private long _held;
    private SpillFile? _file;

    /// <summary>Adds what the next samples have.</summary>
    /// <param name="name">The value's name.</param>
    /// <param name="tensor">The values of <paramref name="samples"/> samples along the first axis.</param>
    /// <param name="samples">Samples in the tensor.</param>
    /// <param name="count">How many of them count; the others fill up a batch.</param>
    public void Add(string name, Tensor tensor, int samples, int count)
    {
        if (!_values.TryGetValue(name, out var value))
            _values[name] = value = (tensor.Type, samples == 1 ? tensor.Shape : [tensor.Shape[0] / samples, .. tensor.Shape[1..]], []);
        for (var i = 0; i < count; i++)
            value.Parts.Add(Keep(TrainingSamples.One(tensor, i, samples).Bytes));
    }

    /// <summary>All values of some samples, one after the other along the first axis.</summary>
    public Dictionary<string, Tensor> Batch(ReadOnlySpan<int> numbers)
    {
        var batch = new Dictionary<string, Tensor>();
        foreach (var (name, (type, shape, parts)) in _values)
        {
            var length = (int)parts[0].Length;
            var bytes = new byte[TrainingMemory.Together(length, numbers.Length)];
            for (var i = 0; i < numbers.Length; i++)
                parts[numbers[i]].Read(0, bytes.AsSpan(i * length, length));
            batch[name] = new(type, numbers.Length == 1 ? shape : TrainingSamples.Times(shape, numbers.Length), bytes);
        }

        return batch;
    }

    /// <inheritdoc/>
    public void Dispose() => _file?.Dispose();

    private Payload Keep(byte[] bytes)
    {
        if (_held + bytes.Length > memory)
            return (_file ??= new SpillFile(Path.GetTempPath())).Add(bytes);
        _held += bytes.Length;
        return new MemoryPayload(bytes);
    }
}
