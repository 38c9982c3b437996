using System.Globalization;
using System.Runtime.InteropServices;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Pruning.Joint;
using ModelBuildTasks.Engine.Passes.Pruning.Methods;
using ModelBuildTasks.Engine.Passes.Pruning.Scores;
using ModelBuildTasks.Engine.Passes.Pruning.Sequential;
using ModelBuildTasks.Engine.Passes.Quantization;
using ModelBuildTasks.Engine.Passes.Quantization.Rounding;
using ModelBuildTasks.Engine.Passes.Quantization.Search;
using ModelBuildTasks.Engine.Statistics;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.Pruning;

/// <summary>Zeros in the place of weights: single ones, N of M, or blocks.</summary>
internal sealed class ZeroPruning
{
    private readonly OnnxModel _original;
    private readonly OnnxModel _model;
    private readonly PrunePlan _plan;
    private readonly PassContext _context;
    private readonly IReadOnlyList<WeightedNode> _nodes;
    private readonly LayerSource _source;
    private readonly NameAllocator _names;
    private readonly IReadOnlyDictionary<string, WeightNumbers>? _stored;
    private readonly IReadOnlyDictionary<PrunableWeight, ScoreProduct> _products = new Dictionary<PrunableWeight, ScoreProduct>();

    private ZeroPruning(OnnxModel original, PrunePlan plan, PassContext context)
    {
        (_original, _model, _plan, _context) = (original, original.Clone(), plan, context);
        _nodes = PrunableWeights.Find(_model, new RuleSet(_model, context.Rules));
        _names = new(_model);
        if (plan.Quantize is { } quantize)
        {
            JointRounding.Require(quantize);
            if (context.Calibration is null)
                throw new ModelBuildException(DiagnosticCodes.DataMissing, "what is left makes up for zeros and rounding by calibration data, and there is none", plan.Location);
            _stored = StoredNumbers.Of(_model, quantize, context).ByName;
        }

        var data = Observe();
        // Rows that have the same zeros have no measure of their own.
        if (data is not null && MaskShape.Of(plan).Rows == 1 && plan.Method is not (PruneMethod.Magnitude or PruneMethod.Wanda))
            _products = ScoreProduct.Find(_model, _nodes.SelectMany(n => n.Weights).Distinct<PrunableWeight>(ReferenceEqualityComparer.Instance), plan.Loss);
        _source = new(_model, plan, data, ObserveScores(), context.Threads);
    }

    /// <summary>Whether calibration data decides anything.</summary>
    public static bool ReadsData(PrunePlan plan, PassContext context) => context.Calibration is not null
        && plan is not { Quantize: null, Method: PruneMethod.Magnitude, Repair: not PruneRepair.Refit, Allocation: not (PruneAllocation.Auto or PruneAllocation.Loss) };

    /// <summary>Prunes a copy of the model.</summary>
    public static PassResult Run(OnnxModel model, PrunePlan plan, PassContext context) => new ZeroPruning(model, plan, context).Run();

    /// <summary>How many values of each weight a plan makes zero, spread as it says; weights that do not have its shape are left out.</summary>
    public static IReadOnlyDictionary<PrunableWeight, long> Amounts(OnnxModel model, PrunePlan plan, PassContext context)
    {
        var pruning = new ZeroPruning(model, plan, context);
        var (weights, _) = pruning.Fitting();
        return weights.Zip(pruning.Amounts(weights), (weight, amount) => (weight, plan.Structure == PruneStructure.Pattern ? pruning._source.Shape.Zeros(weight.Count) : amount))
            .ToDictionary<(PrunableWeight Weight, long Amount), PrunableWeight, long>(p => p.Weight, p => p.Amount, ReferenceEqualityComparer.Instance);
    }

    private (List<PrunableWeight> Weights, Dictionary<PrunableWeight, string> Misfits) Fitting()
    {
        var weights = _nodes.SelectMany(n => n.Weights).Distinct<PrunableWeight>(ReferenceEqualityComparer.Instance).ToList();
        var misfits = new Dictionary<PrunableWeight, string>(ReferenceEqualityComparer.Instance);
        foreach (var weight in weights)
        {
            if (Misfit(weight) is { } why)
                misfits[weight] = why;
        }

        weights.RemoveAll(misfits.ContainsKey);
        return (weights, misfits);
    }

    private PassResult Run()
    {
        var (weights, misfits) = Fitting();
        var amounts = Amounts(weights);
        var done = new Dictionary<PrunableWeight, PrunedWeight>(ReferenceEqualityComparer.Instance);
        var clear = weights.Zip(amounts).ToDictionary(p => p.First, p => p.Second, (IEqualityComparer<PrunableWeight>)ReferenceEqualityComparer.Instance);
        foreach (var stage in Sequence(weights))
        {
            var (paired, scores) = done.Count > 0 ? Pair(stage) : ([], []);
            foreach (var weight in stage)
            {
                done[weight] = Prune(weight, clear[weight], paired.GetValueOrDefault(weight), scores.GetValueOrDefault(weight));
                _context.Progress?.Invoke(0.5 + 0.5 * done.Count / weights.Count);
            }
        }

        if (done.Count > 0)
            UnusedInitializers.Remove(_model.Graph);
        return new(_model, new PruneDecisions(_plan, _model, done, misfits).Of(_nodes), Summary(done.Values));
    }

    private RoundingData? Observe()
    {
        if (!ReadsData(_plan, _context) || _context.Calibration is not { } calibration)
            return null;
        var data = new RoundingData(_model.Graph, _nodes.SelectMany(n => n.Weights).SelectMany(w => w.Uses));
        _context.Statistics.Collect(_model, [], calibration, _context.Threads, done => _context.Progress?.Invoke(0.3 * done), null, data.Matrices);
        return data;
    }

    private Dictionary<PrunableWeight, ScoreMoments> ObserveScores()
    {
        var seen = new Dictionary<PrunableWeight, ScoreMoments>(ReferenceEqualityComparer.Instance);
        if (_products.Count == 0)
            return seen;
        var shown = _model.Clone();
        var names = new NameAllocator(shown);
        foreach (var (weight, product) in _products)
            seen[weight] = product.Observe(shown, product.Use.Node.Input[0], names);
        StatisticsCollector.Collect(shown, [], _context.Calibration!, _context.Threads, grams: seen.Values);
        return seen;
    }

    private string? Misfit(PrunableWeight weight) => _source.Shape.Structure == PruneStructure.Unstructured ? null
        : weight.Rows is null ? "it is not known which of its values are input channels" : _source.Shape.Misfit(weight.Rows);

    private long[] Amounts(IReadOnlyList<PrunableWeight> weights)
    {
        var limit = Math.Max(_plan.Limit, _plan.Amount);
        var uniform = PruneAmounts.Uniform(weights, _plan.Amount);
        // What has no rows is compared with nothing.
        var open = Enumerable.Range(0, weights.Count).Where(i => weights[i].Rows is not null).ToList();
        List<PrunableWeight> known = [.. open.Select(i => weights[i])];
        if (_source.Shape.IsPattern || known.Count < 2 || _plan.Allocation == PruneAllocation.Uniform)
            return uniform;
        if (_plan.Allocation == PruneAllocation.Global)
            return With(PruneAmounts.Global(known, _source, _plan, limit));
        if (_source.Data is null || _context.Calibration is not { } calibration || OutputProbe.Open(_model, calibration, PruneProbe.Batches, _plan.Loss) is not { Power: > 0 } outputs)
            return uniform;
        var probe = new PruneProbe(_model, outputs, _source);
        var allocation = new LossAllocation(_source, _plan, probe, done => _context.Progress?.Invoke(0.3 + 0.2 * done));
        var found = With(allocation.Choose(known, limit));
        return _plan.Allocation == PruneAllocation.Loss || Noise(found) < Noise(uniform) ? found : uniform;

        long[] With(long[] counts)
        {
            var all = (long[])uniform.Clone();
            for (var i = 0; i < open.Count; i++)
                all[open[i]] = counts[i];
            return all;
        }

        double Noise(long[] counts) => probe.Noise(open.Where(i => _source.HasData(weights[i])).Select(i =>
        {
            var layer = _source.Open(weights[i]);
            return (weights[i], layer.Values, allocation.Try(layer, counts[i]).Values);
        }));
    }

    /// <summary>What is pruned at once. Where the rest makes up for what went, it does so also for what went in front of it, as far as that can be observed.</summary>
    private IReadOnlyList<IReadOnlyList<PrunableWeight>> Sequence(List<PrunableWeight> weights) =>
        _source is { TakesBack: true, Data: not null } && _context.Calibration is { Feedback.Count: 0 } && !_model.Graph.Node.Any(n => n.Bodies().Any()) ? Stages.Of(_model, weights) : [weights];

    private (Dictionary<PrunableWeight, PairedMoments> Moments, Dictionary<PrunableWeight, ScoreMoments> Scores) Pair(IReadOnlyList<PrunableWeight> stage)
    {
        var found = new Dictionary<PrunableWeight, PairedMoments>(ReferenceEqualityComparer.Instance);
        var both = new PairedModel(_original, _model);
        var scores = stage.Where(w => _source.Scores(w) is not null).Select(w => (Weight: w, Moments: both.Moments(_products[w]))).Where(p => p.Moments is not null)
            .ToDictionary(p => p.Weight, p => p.Moments!, (IEqualityComparer<PrunableWeight>)ReferenceEqualityComparer.Instance);
        var matrices = stage.Where(w => w.Uses.Count == 1 && _source.HasData(w) && !scores.ContainsKey(w)).Select(w => (Weight: w, Matrix: both.Matrix(w.Uses[0]))).Where(p => p.Matrix is not null).ToList();
        if (matrices.Count + scores.Count == 0)
            return (found, scores);
        StatisticsCollector.Collect(both.Model, [], _context.Calibration!, _context.Threads, grams: [.. matrices.Select(m => m.Matrix!), .. scores.Values]);
        foreach (var (weight, matrix) in matrices.Where(m => m.Matrix!.IsValid))
            found[weight] = new(matrix!, weight.Rows!.Columns, _source.Centered(weight));
        return (found, scores.Where(s => s.Value.IsValid).ToDictionary(s => s.Key, s => s.Value, (IEqualityComparer<PrunableWeight>)ReferenceEqualityComparer.Instance));
    }

    private PrunedWeight Prune(PrunableWeight weight, long clear, PairedMoments? paired, ScoreMoments? scores)
    {
        var raw = _model.ReadBytes(weight.Tensor);
        var type = (DataType)weight.Tensor.DataType;
        PrunedWeight result;
        if (!_source.HasData(weight))
        {
            // Bits of any float type are cleared where they are.
            result = _source.Shape.Structure == PruneStructure.Unstructured ? Magnitudes.Prune(raw, type, clear) : Magnitudes.Clear(raw, type, Mask(weight, clear));
            if (result.Cleared > 0)
                weight.Tensor.PayloadRef = _model.Payloads.Add(result.Raw);
            return result;
        }

        var layer = scores is not null ? _source.Open(weight, scores, changed: true) : paired is null ? _source.Open(weight) : _source.Open(weight, paired);
        var before = _model.ReadFloats(weight.Tensor);
        var repair = _stored is null ? _plan.Repair : PruneRepair.Refit;
        var pruned = LayerPruning.Prune(layer, _plan.Method, repair, clear, _plan.Method == PruneMethod.Obs ? LayerPruning.MostObsCost : LayerPruning.MostAutoCost);
        if (_stored is not null)
        {
            var form = weight.Key.Home == 0 ? _stored.GetValueOrDefault(weight.Key.Name) : null;
            pruned = JointRounding.Misfit(form, _context) is { } why ? pruned with { Method = $"{pruned.Method}, not rounded with it ({why})" }
                : JointRounding.Run(layer, pruned, _plan, clear, form!);
        }

        scores ??= paired is null ? _source.Scores(weight) : null;
        result = PrunedWeight.Of(before, pruned.Values) with { Method = scores is null ? pruned.Method : $"{pruned.Method} by class scores", OutputSqnr = Decibels(layer.Power, pruned.Loss!.Value) };
        if (_source.Centered(weight))
            BiasRepair.Apply(_model, weight, _source.Data!, before, pruned.Values, _names, use => use.Node, paired, scores);
        weight.Tensor.PayloadRef = _model.Payloads.Add(MemoryMarshal.AsBytes(pruned.Values.AsSpan()).ToArray());
        return result;
    }

    private bool[] Mask(PrunableWeight weight, long clear)
    {
        var layer = _source.Open(weight);
        return ScoreMask.Choose(layer, ScoreMask.Scores(layer, PruneMethod.Magnitude), clear, ComparedWithin.Layer);
    }

    private static double? Decibels(double power, double loss) => power <= 0 ? null : loss <= 0 ? 200 : Math.Min(200, 10 * Math.Log10(power / loss));

    private static string Summary(IReadOnlyCollection<PrunedWeight> done) => done.Count == 0
        ? "no weight to prune"
        : string.Create(CultureInfo.InvariantCulture, $"{100.0 * done.Sum(d => d.Zeros) / done.Sum(d => d.Count):0.0} % of {done.Sum(d => d.Count):N0} values in {done.Count} weight{(done.Count == 1 ? "" : "s")} are zero; what that saves is for the storage behind it to say");
}
