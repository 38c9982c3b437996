using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Pipeline.DataChecks;

/// <summary>
/// Compares what the convolutions of a model put out with their biases. Training makes both of one size, by batch norms that were folded
/// since or by itself; an input of another scale scales the one through the whole rectified network and leaves the other.
/// </summary>
internal sealed class BiasWatch
{
    private readonly Dictionary<string, Channels> _outputs = [];

    public BiasWatch(OnnxModel model)
    {
        var index = new GraphIndex(model, model.Graph);
        foreach (var node in model.Graph.Node.Where(n => n.Is("Conv") && n.InputOrEmpty(2) != ""))
        {
            if (index.Constant(node.Input[2]) is { } bias && (DataType)bias.DataType is DataType.Float or DataType.Float16 && node.Output.Count == 1)
                _outputs[node.Output[0]] = new(model.ReadFloats(bias));
        }
    }

    /// <summary>The values to observe.</summary>
    public IReadOnlyCollection<string> Names => _outputs.Keys;

    public void Add(string name, Tensor tensor)
    {
        if (_outputs.TryGetValue(name, out var channels) && tensor.Type is DataType.Float or DataType.Float16)
            channels.Add(tensor);
    }

    /// <summary>The median over all channels of the standard deviation by the bias' magnitude; null where there are no biases.</summary>
    public double? Ratio()
    {
        var ratios = _outputs.Values.SelectMany(c => c.Ratios()).Order().ToList();
        return ratios.Count == 0 ? null : ratios[ratios.Count / 2];
    }

    private sealed class Channels(float[] bias)
    {
        private readonly double[] _sum = new double[bias.Length];
        private readonly double[] _squares = new double[bias.Length];
        private long _count;

        public void Add(Tensor tensor)
        {
            var values = tensor.ToFloats();
            if (tensor.Shape.Length < 2 || tensor.Shape[1] != bias.Length || values.Length == 0)
                return;
            var inner = (int)tensor.Shape.Skip(2).Aggregate(1L, (a, b) => a * b);
            for (var i = 0; i < values.Length; i++)
            {
                var channel = i / inner % bias.Length;
                _sum[channel] += values[i];
                _squares[channel] += (double)values[i] * values[i];
            }

            _count += values.Length / bias.Length;
        }

        public IEnumerable<double> Ratios() => _count == 0 ? [] : Enumerable.Range(0, bias.Length).Where(c => bias[c] != 0)
            .Select(c => Math.Sqrt(Math.Max(0, _squares[c] / _count - _sum[c] / _count * (_sum[c] / _count))) / Math.Abs((double)bias[c]))
            .Where(double.IsFinite);
    }
}
