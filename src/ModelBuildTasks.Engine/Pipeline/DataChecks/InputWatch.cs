using System.Globalization;
using System.Numerics.Tensors;
using ModelBuildTasks.Engine.Data;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Pipeline.DataChecks;

/// <summary>Looks at the values that go into a model: whether they vary, and whether they are numbers.</summary>
/// <param name="inputs">The inputs that are to vary.</param>
internal sealed class InputWatch(IEnumerable<ValueDescription> inputs)
{
    /// <summary>Real inputs vary by some ten percent of their size; pixels scaled to 0..1 before a mean of 100 is subtracted, by a quarter of one.</summary>
    private const double LeastVariation = 0.01;

    private readonly Dictionary<string, Seen> _seen = inputs.ToDictionary(i => i.Name, i => new Seen(i.Type is DataType.Float or DataType.Float16 or DataType.Double));
    private int _samples;

    /// <summary>Whether at least two different samples of an input were seen.</summary>
    public bool Vary => _seen.Values.Any(s => s.Differ);

    public void Add(Batch batch)
    {
        _samples += batch.Count;
        foreach (var (name, tensor) in batch.Inputs)
        {
            if (_seen.TryGetValue(name, out var seen))
                seen.Add(tensor, batch.Count);
        }
    }

    /// <summary>
    /// The inputs that do not vary. Where another input does, only the largest of the floats counts: masks and states may well be constant.
    /// </summary>
    public IEnumerable<string> Constant()
    {
        var anyVaries = _seen.Values.Any(s => s.Differ && !s.IsFlat);
        var largest = _seen.Where(s => s.Value.IsFloat).Select(s => s.Value.Size).DefaultIfEmpty().Max();
        foreach (var (name, seen) in _seen.Where(s => s.Value.Size > 1 && (!anyVaries || (s.Value.IsFloat && s.Value.Size == largest))))
        {
            if (seen.IsFloat && seen.IsFlat)
                yield return string.Create(CultureInfo.InvariantCulture, $"all values of a sample of input '{name}' are the same, such as {seen.Min:G4}");
            else if (seen.IsFloat && seen.Differ && seen.Variation < LeastVariation)
                yield return string.Create(CultureInfo.InvariantCulture, $"the input '{name}' hardly varies between samples, by {seen.Variation:P2} of its size ({seen.Min:G4} to {seen.Max:G4})");
            else if (_samples > 1 && !seen.Differ)
                yield return $"the input '{name}' is the same in each of the first {_samples} samples";
        }
    }

    /// <summary>The inputs with values that are not finite numbers.</summary>
    public IEnumerable<string> NonFinite() => _seen.Where(s => s.Value.NonFinite > 0)
        .Select(s => $"the input '{s.Key}' holds NaN or infinity ({s.Value.NonFinite} values in the first {_samples} samples)");

    /// <summary>The ranges of the float inputs in words.</summary>
    public string Ranges() => string.Join(", ", _seen.Where(s => s.Value.IsFloat && s.Value.Size > 0)
        .Select(s => string.Create(CultureInfo.InvariantCulture, $"{s.Value.Min:G4} to {s.Value.Max:G4} in '{s.Key}'")));

    private sealed class Seen(bool isFloat)
    {
        private readonly ElementMoments _moments = new();
        private byte[]? _first;

        public bool IsFloat => isFloat;

        /// <summary>Whether two samples differ.</summary>
        public bool Differ { get; private set; }

        /// <summary>Whether no sample has two different values.</summary>
        public bool IsFlat { get; private set; } = true;

        /// <summary>Elements of a sample.</summary>
        public long Size { get; private set; }

        public double? Variation => _moments.Variation();

        public long NonFinite { get; private set; }

        public float Min { get; private set; } = float.PositiveInfinity;

        public float Max { get; private set; } = float.NegativeInfinity;

        public void Add(Tensor tensor, int samples)
        {
            var parts = tensor.Shape.Length > 0 && tensor.Shape[0] == samples ? samples : 1;
            var bytes = tensor.Bytes.Length / parts;
            Size = tensor.Count / parts;
            for (var i = 0; i < parts; i++)
            {
                var sample = tensor.Bytes.AsSpan(i * bytes, bytes);
                _first ??= sample.ToArray();
                Differ |= !sample.SequenceEqual(_first);
            }

            if (!isFloat)
                return;
            var values = tensor.ToFloats();
            for (var i = 0; i < parts && values.Length > 0; i++)
            {
                var sample = values.AsSpan(i * values.Length / parts, values.Length / parts);
                IsFlat &= sample.IndexOfAnyExcept(sample[0]) < 0;
                _moments.Add(sample);
            }

            foreach (var value in values)
                NonFinite += float.IsFinite(value) ? 0 : 1;
            if (values.Length > 0 && NonFinite == 0)
                (Min, Max) = (Math.Min(Min, TensorPrimitives.Min<float>(values)), Math.Max(Max, TensorPrimitives.Max<float>(values)));
        }
    }
}
