using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Quantization.Rounding;
using ModelBuildTasks.Engine.Passes.Quantization.Storage;

namespace ModelBuildTasks.Engine.Passes.Quantization.Bits;

/// <summary>What each weighted node of a model gets: few bits, 8 bits, or nothing.</summary>
/// <param name="Choices">All weighted nodes.</param>
/// <param name="Wanted">Those of few bits.</param>
/// <param name="Twins">Weights that are a table of a Gather, turned around or as it is read by a product, each with its table.</param>
internal sealed record BitsSelection(IReadOnlyList<FormChoice> Choices, IReadOnlyList<FormChoice> Wanted, IReadOnlyDictionary<NodeWeight, NodeWeight> Twins)
{
    // Two nodes, a scale and their names.
    private const int EightOverhead = 110;

    /// <summary>Chooses by policy, rules and what is gained. Of a weight's values it matters only whether they were pruned.</summary>
    /// <param name="model">The cleaned-up model.</param>
    /// <param name="eight">What the rest gets.</param>
    /// <param name="bits">What is asked for.</param>
    /// <param name="context">Policy and rules.</param>
    public static BitsSelection Of(OnnxModel model, QuantizePlan eight, BitsPlan bits, PassContext context)
    {
        var choices = new FormSelection(model, eight, context).Choose();
        var rules = new RuleSet(model, context.Rules);
        // A rule that says weights means 8 bits.
        var wanted = choices.Where(c => c.Form == QuantizedForm.Weights && rules.Forms(c.Node) is not [QuantizedForm.Weights]
            && c.Weights.All(w => RowLayout.Of(w) is not null && (bits.Bits > 1 || bits.Average is not null || !IsPruned(model, w))) && c.Weights.Sum(w => Gain(w, bits)) > 0).ToList();
        // A table and its transposition are stored once: both are rounded alike.
        return new(choices, wanted, TwinsOf(model, wanted));
    }

    /// <summary>Which form each weight of the model can get.</summary>
    public static BitForms Forms(OnnxModel model, BitsPlan bits, PassContext context) => new(context.Runtime.Bits, Reachable(model, bits, context));

    /// <summary>The weights that are a table of a Gather, turned around or as it is read by a product, each with its table.</summary>
    private static Dictionary<NodeWeight, NodeWeight> TwinsOf(OnnxModel model, IReadOnlyList<FormChoice> wanted)
    {
        var twins = new Dictionary<NodeWeight, NodeWeight>(TransposedTwins.Pairs(model, wanted), ReferenceEqualityComparer.Instance);
        var tables = wanted.Where(c => c.Node.OpType == "Gather").SelectMany(c => c.Weights).DistinctBy(w => (w.Home, w.Node.Input[0]))
            .ToDictionary(w => (w.Home, w.Node.Input[0]));
        foreach (var weight in wanted.Where(c => c.Node.OpType == "Gemm").SelectMany(c => c.Weights).Where(w => w.ChannelAxis == 0))
        {
            if (tables.TryGetValue((weight.Home, weight.Node.Input[weight.Input]), out var table))
                twins[weight] = table;
        }

        return twins;
    }

    // Signs have no zero: where one value in a thousand is zero, the weight was pruned, and gets 8 bits.
    private static bool IsPruned(OnnxModel model, NodeWeight weight) => weight.Node.OpType != "Gather" && model.ReadFloats(weight.Tensor).Count(v => v == 0) >= 0.001 * weight.Count;

    /// <summary>What a weight of few bits is smaller by than one of 8 bits.</summary>
    private static long Gain(NodeWeight weight, BitsPlan bits)
    {
        var layout = RowLayout.Of(weight)!.Value;
        var width = bits.Bits == 1 ? bits.Planes : bits.Average is { } average ? (int)average : bits.Bits;
        var scales = (long)layout.Rows * layout.Groups(BitForms.Divisor(layout.Columns, bits.Group)) * (bits.Bits == 1 ? bits.Planes : 1);
        return weight.Count + 4 * weight.Channels + EightOverhead
            - BitPacking.Length(weight.Count, width) - scales * (bits.Symmetric || bits.Bits == 1 ? 2 : 3) - BitWriter.StoredOverhead;
    }

    /// <summary>The operator set that the model can be raised to, of those that blocked codes came with.</summary>
    private static long Reachable(OnnxModel model, BitsPlan bits, PassContext context)
    {
        if (bits.Bits == 1 || !context.Runtime.Bits.Contains(BitsForm.Blocked))
            return model.Opset;
        long[] sets = bits.Bits == 2 || bits.Average is not null ? [25, 21] : [21];
        return sets.FirstOrDefault(s => OpsetUpgrade.Upgrade(model, (int)s).Reason is null, model.Opset);
    }
}
