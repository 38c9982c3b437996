using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Quantization.Rounding;
using ModelBuildTasks.Engine.Passes.Quantization.Storage;

namespace ModelBuildTasks.Engine.Passes.Quantization.Bits;

/// <summary>Weights below 8 bits with float arithmetic, see <see cref="BitsPlan"/>. What has no such form, or would be larger in it, gets 8 bits.</summary>
internal sealed class BitsPass
{
    private readonly BitsPlan _bits;
    private readonly QuantizePlan _eight;
    private readonly PassContext _context;

    private BitsPass(QuantizePlan plan, PassContext context) =>
        (_bits, _eight, _context) = (plan.Bits!, plan with { Bits = null, Activations = ActivationMode.None }, context);

    /// <summary>Stores the weights of a cleaned-up model in few bits.</summary>
    /// <exception cref="ModelBuildException">MBT2026: the runtime has no such weights. MBT2027: the budget is too small. MBT2004: the model does not run on the data.</exception>
    public static PassResult Run(OnnxModel model, QuantizePlan plan, PassContext context)
    {
        if (context.Runtime.Bits.Count == 0)
            throw new ModelBuildException(DiagnosticCodes.NoSuchWeights, $"the runtime policy '{context.Runtime.Name}' has no weights below 8 bits", plan.Location);
        return new BitsPass(plan, context).Run(model);
    }

    private PassResult Run(OnnxModel model)
    {
        var work = Prepare(model);
        var forms = BitsSelection.Forms(model, _bits, _context);
        IReadOnlyList<Decision> scaled = [];
        if (_bits.Method == BitsMethod.Awq && work.Data is { } data)
        {
            (model, scaled) = new ActivationScaling(model, _bits, data, forms, _context.Threads).Run(work.Wanted);
            // Other channels have other statistics.
            if (scaled.Count > 0)
                work = Prepare(model);
        }

        var quantizer = new BitQuantizer(model, _bits, work.Data, forms, _context.Threads);
        var grids = _bits.Average is { } average ? new BitBudget(model, quantizer, _context, _bits, forms, work.Twins, _eight.Location).Choose(work.Wanted, average) : null;
        var clone = Upgraded(model, work.Wanted.SelectMany(c => c.Weights).Select(w => quantizer.Form(w, grids?[BitBudget.Key(w)])));

        var (from, to) = (new Search.NodeMap(model), new Search.NodeMap(clone));
        var rewrite = new RewriteContext(clone, _eight, _context.Runtime.Formats);
        var chosen = new Dictionary<NodeProto, FormChoice>(ReferenceEqualityComparer.Instance);
        foreach (var choice in work.Wanted)
            chosen[to.Node(from[choice.Node])] = choice;
        new BitsRewrite(rewrite, quantizer, _bits, forms) { Grids = grids, Twins = work.Twins }.Apply(chosen);
        UnusedInitializers.Remove(clone.Graph);
        ExactPalettes.Apply(rewrite);
        var few = new PassResult(clone, [.. scaled, .. rewrite.Decisions], $"{work.Wanted.Count} weighted operators in {_bits.Word}");
        return work.Choices.Count(c => c.Form is not null) > work.Wanted.Count ? WithEight(few) : few with { Decisions = [.. few.Decisions, .. Left(work.Choices)] };
    }

    private sealed record Work(
        IReadOnlyList<FormChoice> Choices, IReadOnlyList<FormChoice> Wanted, IReadOnlyDictionary<NodeWeight, NodeWeight> Twins, RoundingData? Data);

    private Work Prepare(OnnxModel model)
    {
        var (choices, wanted, twins) = BitsSelection.Of(model, _eight, _bits, _context);
        return new(choices, wanted, twins, Observe(model, wanted, twins));
    }

    private PassResult WithEight(PassResult few)
    {
        var rest = Quantize.Run(few.Model, _eight, _context);
        return rest with
        {
            Decisions = [.. few.Decisions, .. rest.Decisions.Where(d => few.Decisions.All(f => f.Name != d.Name))],
            Summary = $"{few.Summary}, {rest.Decisions.Count(d => d.What == "int8 weights")} in 8 bits",
        };
    }

    private static IEnumerable<Decision> Left(IReadOnlyList<FormChoice> choices) => choices.Where(c => c.Form is null).Select(c =>
        new Decision(c.Node.DisplayName(), c.Node.OpType, "left", c.Reason) { BytesBefore = c.Weights.Sum(w => w.Bytes), BytesAfter = c.Weights.Sum(w => w.Bytes) });

    /// <summary>A clone with the operator set that the forms of its weights need.</summary>
    private static OnnxModel Upgraded(OnnxModel model, IEnumerable<(BitsForm Form, int Bits)> forms)
    {
        var fused = forms.Where(f => f.Form != BitsForm.Stored).Select(f => f.Bits == 2 ? 25 : 21).ToList();
        var upgraded = fused.Count > 0 ? OpsetUpgrade.Upgrade(model, fused.Max()).Model : model;
        return ReferenceEquals(upgraded, model) ? model.Clone() : upgraded;
    }

    private RoundingData? Observe(OnnxModel model, IReadOnlyList<FormChoice> choices, IReadOnlyDictionary<NodeWeight, NodeWeight> twins)
    {
        if (_bits.Method is BitsMethod.Rtn or BitsMethod.Hqq || _bits.Bits == 1 && _bits.Average is null || _context.Calibration is not { } data)
            return null;
        var rounding = new RoundingData(model.Graph, choices.SelectMany(c => c.Weights).Where(w => !twins.ContainsKey(w)));
        _context.Statistics.Collect(model, [], data, _context.Threads, _context.Progress, null, rounding.Matrices);
        return rounding;
    }
}
