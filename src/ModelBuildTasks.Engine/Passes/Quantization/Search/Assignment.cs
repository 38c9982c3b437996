using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.Quantization.Search;

/// <summary>A form for each weighted node, and what follows from it: the 8-bit part of the graph and all places of rounding.</summary>
internal sealed class Assignment
{
    private Assignment(IReadOnlyList<FormChoice> choices, StaticPart? part, IReadOnlyList<NoiseSource> sources) => (Choices, Part, Sources) = (choices, part, sources);

    public IReadOnlyList<FormChoice> Choices { get; }

    public StaticPart? Part { get; }

    /// <summary>Where rounding happens.</summary>
    public IReadOnlyList<NoiseSource> Sources { get; }

    public static Assignment Of(IReadOnlyList<FormChoice> choices, OnnxModel model, GraphIndex index, Calibration calibration, NodeMap map, NumberFormats formats)
    {
        var part = calibration.Part(model, index, choices);
        return new(choices, part, [.. Places(choices, part, index, map, formats).Distinct()]);
    }

    /// <summary>The same with other forms for some nodes.</summary>
    public static IReadOnlyList<FormChoice> With(IReadOnlyList<FormChoice> choices, IReadOnlyDictionary<NodeProto, QuantizedForm?> forms, string reason) =>
        [.. choices.Select(c => forms.TryGetValue(c.Node, out var form) && form != c.Form ? c with { Form = form, Reason = reason } : c)];

    private static IEnumerable<NoiseSource> Places(IReadOnlyList<FormChoice> choices, StaticPart? part, GraphIndex index, NodeMap map, NumberFormats formats)
    {
        foreach (var value in part?.Values ?? [])
        {
            // What data movement gives was rounded to the same scale before.
            if (index.Producer(value) is { } producer && part!.Graph.Contains(producer)
                && (part.Graph.GivesFloat(producer) || (part.Graph.RoleOf(producer) == OperatorRole.Movement && !part.Graph.Weighted.Contains(producer))))
            {
                continue;
            }

            var readers = part!.Graph.IsMadeInside(value)
                ? []
                : index.Consumers(value).Where(n => part.Graph.Contains(n) && StaticGraph.DataInputs(n, index).Any(i => n.Input[i] == value)).Select(n => map[n]);
            yield return new ActivationNoise(value, part.Groups.Parameters(value), [.. readers]);
        }

        foreach (var choice in choices.Where(c => c.Form is not null))
        {
            if (choice.Form == QuantizedForm.Dynamic)
                yield return new DynamicNoise(map[choice.Node]);
            // Where integer arithmetic takes the same codes, there is one figure for both.
            var form = choice.Form is QuantizedForm.Static or QuantizedForm.Dynamic && !formats.PairsSaturate && formats.IsPerChannel(choice.Node.OpType)
                ? QuantizedForm.Weights : choice.Form!.Value;
            foreach (var weight in choice.Weights)
                yield return new WeightNoise(map[choice.Node], weight.Input, form);
        }
    }
}
