using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Passes.Quantization;
using ModelBuildTasks.Engine.Passes.Quantization.Rounding;
using ModelBuildTasks.Engine.Passes.Quantization.Search;
using ModelBuildTasks.Engine.Passes.Quantization.Storage;

namespace ModelBuildTasks.Engine.Tests.Passes.Quantization.Search;

/// <summary>A model with its first forms, calibrated, and what the search measures them with.</summary>
internal sealed class SearchCase
{
    private readonly OnnxModel _model;
    private readonly GraphIndex _index;
    private readonly QuantizePlan _plan;
    private readonly NumberFormats _formats;
    private readonly WeightRounding? _rounding;

    public SearchCase(OnnxModel model, IDataset data, QuantizePlan? plan = null, IReadOnlyList<RulePlan>? rules = null, RuntimePolicy? policy = null)
    {
        _model = model;
        _plan = plan ?? QuantizeTests.Plan();
        _index = new GraphIndex(model, model.Graph);
        var context = new PassContext(policy ?? QuantizeTests.Policy(), rules ?? []) { Calibration = data };
        _formats = context.Runtime.Formats;
        Map = new NodeMap(model);
        Calibration = new Calibration(model, _plan, context);
        var choices = new FormSelection(model, _plan, context).Choose();
        var rounded = _plan.AdaRound
            ? new RoundingData(model.Graph, choices.Where(c => c.Form is not null).SelectMany(c => c.Weights).Except(TransposedTwins.Of(model, choices))) : null;
        Choices = Calibration.Observe(_index, choices, rounded?.Matrices ?? []);
        _rounding = rounded is null ? null : new WeightRounding(rounded, _plan);
        var weights = Choices.SelectMany(c => c.Weights.Select(w => (Key: (Map[c.Node], w.Input), Weight: w))).ToDictionary(p => p.Key, p => p.Weight);
        Simulation = new Simulation(model, weights, new WeightDecoder(model, _plan, _formats, _rounding).Decode, _plan, _formats);
        Probe = OutputProbe.Open(model, data, 16);
    }

    public NodeMap Map { get; }

    public Calibration Calibration { get; }

    public IReadOnlyList<FormChoice> Choices { get; }

    public Simulation Simulation { get; }

    public OutputProbe Probe { get; }

    public NoiseTable Noise(int threads = 1) => new(Probe, Simulation, threads);

    public Assignment Assign(IReadOnlyList<FormChoice>? choices = null) => Assignment.Of(choices ?? Choices, _model, _index, Calibration, Map, _formats);

    public OnnxModel Write(Assignment assignment) => new QuantizationWriter(_model, _plan, _formats, Calibration, _rounding).Write(assignment.Choices).Model;

    /// <summary>10·log10(Σa²/Σ(a − b)²) over all float outputs, in dB, of runs in float arithmetic.</summary>
    public static double Sqnr(OnnxModel a, OnnxModel b, IDataset data)
    {
        var probe = OutputProbe.Open(a, data, 1000);
        return probe.Sqnr(probe.Noise(b));
    }
}
