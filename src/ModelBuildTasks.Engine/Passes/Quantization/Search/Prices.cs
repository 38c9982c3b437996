using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.Quantization.Search;

/// <summary>What a choice of forms costs: time by the policy's table, and bytes.</summary>
internal sealed class Prices
{
    private readonly LatencyModel _latency;
    private readonly Dictionary<NodeProto, long> _macs = new(ReferenceEqualityComparer.Instance);
    private readonly double _float;
    private readonly double _bytes;

    public Prices(OnnxModel model, GraphIndex index, RuntimePolicy runtime, Batch sample)
    {
        Runtime = runtime.Name;
        var shapes = ValueTypes.Observe(model, sample.Inputs);
        _latency = new LatencyModel(index, runtime.Costs, shapes);
        foreach (var node in model.Graph.Node)
            _macs[node] = LatencyModel.Macs(node, shapes);
        Macs = Math.Max(1, _macs.Values.Sum()) / (double)sample.Count;
        _float = _latency.Predict(null, new HashSet<NodeProto>(ReferenceEqualityComparer.Instance));
        _bytes = Math.Max(1, model.Graph.WithBodies().SelectMany(g => g.Initializer).Sum(model.ByteLength));
        Knows = runtime.Costs.Kernels.Count > 0 && _float > 0;
    }

    /// <summary>The policy's name.</summary>
    public string Runtime { get; }

    /// <summary>Whether the policy has a cost table.</summary>
    public bool Knows { get; }

    /// <summary>Multiply-accumulates of the main graph for one sample.</summary>
    public double Macs { get; }

    /// <summary>Predicted time of a run.</summary>
    public double Nanoseconds(Assignment assignment) => _latency.Predict(
        assignment.Part?.Graph, assignment.Choices.Where(c => c.Form == QuantizedForm.Dynamic).Select(c => c.Node).ToHashSet<NodeProto>(ReferenceEqualityComparer.Instance));

    /// <summary>Multiply-accumulates in integer arithmetic.</summary>
    public double IntegerMacs(Assignment assignment) =>
        assignment.Choices.Where(c => c.Form is QuantizedForm.Static or QuantizedForm.Dynamic).Sum(c => (double)_macs.GetValueOrDefault(c.Node));

    /// <summary>Their share of all.</summary>
    public double IntegerShare(Assignment assignment) => IntegerMacs(assignment) / Math.Max(1, _macs.Values.Sum());

    /// <summary>What an assignment costs: its time as a share of the float model's, and its bytes as a share of the model in 8 bits. Without a table multiply-accumulates stand for time: integer ones cost half.</summary>
    public double Of(Assignment assignment)
    {
        var time = Knows ? Nanoseconds(assignment) / _float : 1 - IntegerMacs(assignment) / Math.Max(1, _macs.Values.Sum()) / 2;
        var bytes = assignment.Choices.Sum(c => c.Weights.Sum(w => c.Form switch { null => w.Bytes, QuantizedForm.Half => 2.0 * w.Count, _ => w.Count }));
        return time + bytes / (_bytes / 4);
    }
}
