using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Quantization.Rounding;
using ModelBuildTasks.Engine.Passes.Quantization.Search;
using ModelBuildTasks.Engine.Passes.Quantization.Storage;

namespace ModelBuildTasks.Engine.Passes.Quantization;

/// <summary>Writes a model with each weighted node in its chosen form.</summary>
/// <param name="model">The float model; unchanged.</param>
/// <param name="plan">What is asked for.</param>
/// <param name="formats">The numbers that the runtime computes with.</param>
/// <param name="calibration">The scales of static activations.</param>
/// <param name="rounding">Rounding of weights by data, or null for the nearest code.</param>
/// <param name="threads">Threads to use; the result does not depend on it.</param>
internal sealed class QuantizationWriter(OnnxModel model, QuantizePlan plan, NumberFormats formats, Calibration calibration, WeightRounding? rounding, int threads = 1)
{
    /// <summary>A clone in which every choice is carried out, and what was done.</summary>
    public PassResult Write(IReadOnlyList<FormChoice> choices)
    {
        var clone = model.Clone();
        var (from, to) = (new NodeMap(model), new NodeMap(clone));
        var index = new GraphIndex(clone, clone.Graph);
        var mine = choices.Select(c => c.On(to.Graph(from[c.Node]), to.Node(from[c.Node]))).ToList();
        var rewrite = new RewriteContext(clone, plan, formats, rounding, threads);
        if (calibration.Part(clone, index, mine) is { } part)
            new StaticRewrite(rewrite, part.Graph, part.Groups, part.Statistics).Apply(index, Of(mine, QuantizedForm.Static));
        new DynamicRewrite(rewrite).Apply(Of(mine, QuantizedForm.Dynamic));
        new WeightsRewrite(rewrite).Apply([.. mine.Where(c => c.Form is QuantizedForm.Weights or QuantizedForm.Half)]);
        foreach (var choice in mine.Where(c => c.Form is null))
            rewrite.Decide(choice, "left");
        UnusedInitializers.Remove(clone.Graph);
        TransposedTwins.Merge(rewrite);
        ExactPalettes.Apply(rewrite);
        ExactHalves.Apply(rewrite);
        return new PassResult(clone, InGraphOrder(rewrite.Decisions, mine), Summary(mine));
    }

    private static Dictionary<NodeProto, FormChoice> Of(IEnumerable<FormChoice> choices, QuantizedForm form) =>
        choices.Where(c => c.Form == form).ToDictionary<FormChoice, NodeProto>(c => c.Node, ReferenceEqualityComparer.Instance);

    private static List<Decision> InGraphOrder(List<Decision> decisions, IReadOnlyList<FormChoice> choices)
    {
        var order = new Dictionary<string, int>();
        foreach (var choice in choices)
            order.TryAdd(choice.Node.DisplayName(), order.Count);
        return [.. decisions.OrderBy(d => order.GetValueOrDefault(d.Name, int.MaxValue))];
    }

    private static string Summary(IReadOnlyList<FormChoice> choices)
    {
        var parts = new[] { (QuantizedForm?)QuantizedForm.Static, QuantizedForm.Dynamic, QuantizedForm.Weights, QuantizedForm.Half, null }
            .Select(form => (form, count: choices.Count(c => c.Form == form)))
            .Where(p => p.count > 0)
            .Select(p => p.form switch
            {
                null => $"{p.count} left in float",
                QuantizedForm.Half => $"{p.count} float16 weights",
                _ => $"{p.count} {p.form.Value.ToString().ToLowerInvariant()}",
            });
        return choices.Count == 0 ? "no weighted operators" : $"{choices.Count} weighted operators: {string.Join(", ", parts)}";
    }
}
