using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Quantization.Rounding;

namespace ModelBuildTasks.Engine.Passes.Quantization.Search;

/// <summary>
/// Decides the form of each weighted node by what is fast on the runtime and by what its rounding does to the model's outputs. The error
/// of every place of rounding is measured alone on a few calibration batches, ranges are chosen where they matter, and precision is given
/// back where the error is out of line.
/// </summary>
internal sealed class FormSearch
{
    // What measuring may compute, in multiply-accumulates of the float model.
    private const double Budget = 6e11;
    private const int MostBatches = 48;
    private const int MostStreamBatches = 192;

    private readonly OnnxModel _model;
    private readonly GraphIndex _index;
    private readonly QuantizePlan _plan;
    private readonly PassContext _context;
    private readonly Calibration _calibration;
    private readonly WeightRounding? _rounding;
    private readonly NodeMap _map;
    private readonly Prices _prices;

    public FormSearch(OnnxModel model, GraphIndex index, QuantizePlan plan, PassContext context, Calibration calibration, WeightRounding? rounding)
    {
        (_model, _index, _plan, _context, _calibration, _rounding) = (model, index, plan, context, calibration, rounding);
        _map = new NodeMap(model);
        _prices = new Prices(model, index, context.Runtime, context.Calibration!.Batches().First());
    }

    /// <summary>The choices with the forms that are worth their error, and the error that is left of each.</summary>
    public IReadOnlyList<FormChoice> Choose(IReadOnlyList<FormChoice> choices)
    {
        var now = Form(FasterForms.Choose(choices, _prices, _plan.IntegerMacs, Form));
        if (now.Sources.Count == 0)
            return now.Choices;
        var most = _context.Calibration!.Feedback.Count > 0 ? MostStreamBatches : MostBatches;
        var probe = OutputProbe.Open(_model, _context.Calibration, (int)Math.Clamp(Budget / _prices.Macs / (2 * now.Sources.Count), 2, most));
        if (probe.Power <= 0)
            return now.Choices;
        var noise = new NoiseTable(probe, Simulation.Of(_model, choices, _plan, _context.Runtime.Formats, _rounding, _map), _context.Threads);
        noise.Measure(now.Sources, _context.Progress);
        var refinement = new RangeRefinement(_calibration, noise, _plan);
        now = Refine(refinement, now, noise);
        now = new GiveBack(noise, probe, _prices, _index, _map, Form).Run(now, _plan.MinimumSqnr, _plan.IntegerMacs);
        now = Refine(refinement, now, noise);
        return WithNoise(now, noise, probe);
    }

    private Assignment Form(IReadOnlyList<FormChoice> choices) => Assignment.Of(choices, _model, _index, _calibration, _map, _context.Runtime.Formats);

    private Assignment Refine(RangeRefinement refinement, Assignment now, NoiseTable noise)
    {
        noise.Measure(now.Sources);
        if (!refinement.Refine(now))
            return now;
        var before = noise.Together(now.Sources);
        var refined = Form(now.Choices);
        noise.Measure(refined.Sources);
        if (noise.Together(refined.Sources) < before)
            return refined;
        // What helped each value alone does not help them together.
        refinement.Undo();
        return Form(now.Choices);
    }

    /// <summary>Each choice with the share of the outputs' power that its rounding takes; half of an activation's goes to those that read it.</summary>
    private IReadOnlyList<FormChoice> WithNoise(Assignment now, NoiseTable noise, OutputProbe probe)
    {
        var shares = new Dictionary<NodeAddress, double>();
        foreach (var source in now.Sources)
        {
            IReadOnlyList<NodeAddress> nodes = source switch
            {
                WeightNoise weight => [weight.Node],
                DynamicNoise dynamic => [dynamic.Node],
                ActivationNoise activation => [.. Calibration.Touching(now.Part!.Graph, _index, [activation.Value]).Keys.Select(n => _map[n])],
                _ => [],
            };
            foreach (var node in nodes)
                shares[node] = shares.GetValueOrDefault(node) + noise[source] / probe.Power / nodes.Count;
        }

        return [.. now.Choices.Select(c => shares.TryGetValue(_map[c.Node], out var share) ? c with { OutputNoise = share } : c)];
    }
}
