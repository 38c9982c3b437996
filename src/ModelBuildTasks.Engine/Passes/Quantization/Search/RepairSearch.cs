using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Quantization.Equalization;
using ModelBuildTasks.Engine.Passes.Quantization.Rounding;
using ModelBuildTasks.Engine.Passes.Quantization.Storage;
using ModelBuildTasks.Engine.Statistics;

namespace ModelBuildTasks.Engine.Passes.Quantization.Search;

/// <summary>
/// Tries repairs of the float model (cross-layer equalization, high-bias absorption, SmoothQuant) and keeps what measurably helps: scales
/// are found on some calibration batches and the error is judged on others, since a repair that fits the batches it was made from is no help.
/// </summary>
internal static class RepairSearch
{
    // Batches to observe, and as many to judge by.
    private const int Batches = 12;

    // A repair has to take away this share of the error.
    private const double LeastGain = 0.12;

    // With this ratio of signal to noise in dB there is nothing to repair.
    private const double Enough = 40;

    /// <summary>The model with the repairs that help, and what was done.</summary>
    /// <param name="model">The float model; unchanged.</param>
    /// <param name="plan">What is asked for.</param>
    /// <param name="context">Policy, rules and data.</param>
    /// <param name="statistics">What was observed on all calibration data, at least of what <see cref="Repairs.Needs"/> names.</param>
    public static (OnnxModel Model, IReadOnlyList<Decision> Decisions) Run(
        OnnxModel model, QuantizePlan plan, PassContext context, IReadOnlyDictionary<string, TensorStatistics> statistics)
    {
        if (Repairs.Needs(model, plan).Count == 0)
            return (model, []);
        var (seen, judge) = SampledData.Split(context.Calibration!, Batches);
        if (seen.Count < 2 || judge.Count < 2)
            return (model, []);
        var probe = OutputProbe.Open(model, judge, int.MaxValue);
        var quick = plan with { AdaRound = false };
        var trial = context with { Calibration = seen, Progress = null };
        var start = Repairs.Begin(model, statistics);
        var (best, decisions, least) = (start, new List<Decision>(), Noise(model));
        if (least <= probe.Power * Math.Pow(10, -Enough / 10))
            return (model, []);
        // A weight that is stored once with an embedding table would have to be stored twice.
        var twins = TransposedTwins.Of(model, new FormSelection(model, quick, trial).Choose()).Select(w => w.Node.DisplayName()).ToHashSet();
        foreach (var kind in Repairs.Enumerate(start, plan).GroupBy(r => r.Kind).Select(g => g.Key).ToList())
            Try(Repairs.Enumerate(best, plan).Where(r => r.Kind == kind && !r.Nodes.Any(twins.Contains)));
        // Rounding on the Gram matrix takes away most of the weights' error by itself, and what a repair takes from that error it
        // puts into the activations' in part: what helps weights rounded to nearest can harm those.
        if (decisions.Count > 0 && plan.AdaRound && Noise(best.Model, rounded: true) > (1 - LeastGain) * Noise(model, rounded: true))
            return (model, []);
        return (best.Model, decisions);

        void Try(IEnumerable<Repair> repairs)
        {
            var state = best;
            var made = new List<Decision>();
            foreach (var repair in repairs)
            {
                var result = repair.Apply(state);
                if (!result.Changed)
                    continue;
                state = result.State;
                made.AddRange(result.Decisions);
            }

            if (made.Count == 0)
                return;
            var error = Noise(state.Model);
            if (error > (1 - LeastGain) * least)
                return;
            (best, least) = (state, error);
            decisions.AddRange(made);
        }

        double Noise(OnnxModel candidate, bool rounded = false)
        {
            var index = new GraphIndex(candidate, candidate.Graph);
            var calibration = new Calibration(candidate, quick, trial);
            var map = new NodeMap(candidate);
            var choices = new FormSelection(candidate, quick, trial).Choose();
            var rounding = rounded ? RoundingData.Of(candidate, choices) : null;
            choices = calibration.Observe(index, choices, rounding?.Matrices ?? []);
            var prices = new Prices(candidate, index, context.Runtime, seen.Batches().First());
            Assignment Form(IReadOnlyList<FormChoice> c) => Assignment.Of(c, candidate, index, calibration, map, context.Runtime.Formats);
            var assignment = Form(FasterForms.Choose(choices, prices, plan.IntegerMacs, Form));
            return probe.Noise(Simulation.Of(
                candidate, choices, rounded ? plan : quick, context.Runtime.Formats, rounding is null ? null : new WeightRounding(rounding, plan, context.Threads), map).Build(assignment.Sources));
        }
    }
}
