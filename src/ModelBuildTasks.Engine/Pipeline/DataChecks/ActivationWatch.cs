using System.Globalization;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Pipeline.DataChecks;

/// <summary>Looks at outputs and rectifiers: outputs that hardly depend on the input, and activations that are dead, come of inputs the model does not know.</summary>
internal sealed class ActivationWatch
{
    /// <summary>Outputs whose samples differ from their mean by less than this share of it do not depend on the input.</summary>
    private const double LeastVariation = 1e-4;

    /// <summary>Share of the rectifiers that put out nothing but zero.</summary>
    private const double LargestDeadShare = 0.5;

    private readonly HashSet<string> _rectified;
    private readonly Dictionary<string, ElementMoments> _outputs;
    private readonly HashSet<string> _alive = [];
    private readonly HashSet<string> _nan = [];

    public ActivationWatch(OnnxModel model)
    {
        _rectified = [.. model.Graph.Node.Where(n => n.Is("Relu")).Select(n => n.Output[0])];
        _outputs = model.Graph.Output.ToDictionary(o => o.Name, _ => new ElementMoments());
    }

    /// <summary>The values to observe, besides the model's outputs.</summary>
    public IReadOnlyCollection<string> Names => _rectified;

    public void Add(string name, Tensor tensor)
    {
        if (tensor.Type is not (DataType.Float or DataType.Float16 or DataType.Double))
        {
            _outputs.Remove(name);
            return;
        }

        var values = tensor.ToFloats();
        if (Array.Exists(values, float.IsNaN))
            _nan.Add(name);
        if (_rectified.Contains(name) && Array.Exists(values, v => v != 0))
            _alive.Add(name);
        if (_outputs.TryGetValue(name, out var moments))
            moments.Add(values);
    }

    /// <summary>Values inside the model that are no numbers.</summary>
    public IEnumerable<string> NaN() => _nan.Order(StringComparer.Ordinal);

    /// <summary>The largest variation of an output over the samples relative to its mean; null when it cannot be told.</summary>
    public double? Variation()
    {
        var variations = _outputs.Values.Select(m => m.Variation()).OfType<double>().ToList();
        return variations.Count == 0 || variations.Count < _outputs.Count ? null : variations.Max();
    }

    /// <summary>What is wrong in words, or null.</summary>
    public string? Finding()
    {
        var dead = _rectified.Count - _alive.Count;
        if (_rectified.Count > 0 && dead > LargestDeadShare * _rectified.Count)
            return $"{dead} of the model's {_rectified.Count} Relu put out nothing but zero";
        return Variation() is { } variation and < LeastVariation
            ? string.Create(CultureInfo.InvariantCulture, $"the model's outputs hardly depend on it: they differ by {variation:G2} of their size between samples")
            : null;
    }
}
