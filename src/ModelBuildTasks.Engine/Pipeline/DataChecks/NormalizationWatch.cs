using System.Globalization;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Pipeline.DataChecks;

/// <summary>
/// Compares what reaches the first batch norm with what reached it in training: its running variance is the variance of each channel
/// over the training data. Data of another scale moves it by the square of the factor in every channel.
/// </summary>
internal sealed class NormalizationWatch
{
    /// <summary>
    /// Standard deviations differ by less than this between the training data and any data of its kind; pixels of 0..255 in place of
    /// 0..1, or the reverse, differ by 255, and pixels in place of standardized ones by about 58 or 1/58.
    /// </summary>
    private const double Factor = 10;

    // Below this a channel is dead in training, and its variance is rounding.
    private const double LeastVariance = 1e-12;

    private readonly NodeProto? _node;
    private readonly double[] _variance = [];
    private readonly double[] _sum = [];
    private readonly double[] _squares = [];
    private long _count;

    public NormalizationWatch(OnnxModel model)
    {
        var index = new GraphIndex(model, model.Graph);
        _node = model.Graph.Node.FirstOrDefault(n => n.Is("BatchNormalization") && n.Input.Count == 5 && index.Constant(n.Input[3]) is not null && index.Constant(n.Input[4]) is { } v
            && (DataType)v.DataType is DataType.Float or DataType.Float16 or DataType.Double);
        if (_node is null)
            return;
        _variance = [.. model.ReadFloats(index.Constant(_node.Input[4])!).Select(v => (double)v)];
        (_sum, _squares) = (new double[_variance.Length], new double[_variance.Length]);
    }

    /// <summary>The values to observe.</summary>
    public IReadOnlyList<string> Names => _node is null ? [] : [_node.Input[0]];

    public void Add(string name, Tensor tensor)
    {
        if (_node?.Input[0] != name || tensor.Shape.Length < 2 || tensor.Shape[1] != _variance.Length || tensor.Type is not (DataType.Float or DataType.Float16 or DataType.Double))
            return;
        var values = tensor.ToFloats();
        var channels = _variance.Length;
        var inner = (int)tensor.Shape.Skip(2).Aggregate(1L, (a, b) => a * b);
        if (values.Length == 0)
            return;
        for (var i = 0; i < values.Length; i++)
        {
            var channel = i / inner % channels;
            _sum[channel] += values[i];
            _squares[channel] += (double)values[i] * values[i];
        }

        _count += values.Length / channels;
    }

    /// <summary>The median over the channels of observed by expected standard deviation; null when there is nothing to compare.</summary>
    public double? Ratio()
    {
        if (_count < 2)
            return null;
        var ratios = Enumerable.Range(0, _variance.Length).Where(c => _variance[c] > LeastVariance)
            .Select(c => Math.Sqrt(Math.Max(0, _squares[c] / _count - _sum[c] / _count * (_sum[c] / _count)) / _variance[c]))
            .Where(double.IsFinite).Order().ToList();
        return ratios.Count == 0 ? null : ratios[ratios.Count / 2];
    }

    /// <summary>What is wrong in words, or null.</summary>
    public string? Finding() => Ratio() is { } ratio && ratio is > Factor or < 1 / Factor
        ? string.Create(CultureInfo.InvariantCulture, $"what reaches the batch norm '{_node!.DisplayName()}' varies {Times(ratio)} as in training (standard deviation, median of its channels)")
        : null;

    private static string Times(double ratio) => ratio >= 1
        ? string.Create(CultureInfo.InvariantCulture, $"{ratio:G3} times as much")
        : string.Create(CultureInfo.InvariantCulture, $"1/{1 / Math.Max(ratio, 1e-9):G3} as much");
}
