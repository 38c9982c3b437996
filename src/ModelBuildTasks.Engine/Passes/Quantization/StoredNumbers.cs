using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Quantization.Bits;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.Quantization;

/// <summary>The numbers that a quantization stores a weight in, whatever its values are.</summary>
/// <param name="Weight">Where the weight is read.</param>
/// <param name="Form">What its node becomes.</param>
internal sealed record WeightNumbers(NodeWeight Weight, QuantizedForm Form)
{
    /// <summary>For few bits: where the elements are; null for 8 bits.</summary>
    public RowLayout? Layout { get; init; }

    /// <summary>For few bits: columns that share a scale.</summary>
    public int Group { get; init; }

    /// <summary>For 8 bits: whether each channel has a scale.</summary>
    public bool PerChannel { get; init; }

    /// <summary>For 8 bits: the product of the dimensions before the channels, the channels that have a scale, and the product of those behind.</summary>
    public (long Outer, long Channels, long Inner) Channels => PerChannel ? (Weight.Outer, Weight.Channels, Weight.Inner) : (1, 1, Weight.Count);

    /// <summary>Equal for forms that store equal values in the same numbers.</summary>
    public string Key => Layout is { } layout ? $"few {layout} {Group}" : $"eight {Channels}";
}

/// <summary>
/// The weights that a quantization will store in 8 bits or fewer, and how, told before it runs: what makes weights ready for it (training, pruning) gives
/// them values that it finds again.
/// </summary>
/// <param name="ByName">The forms by the weights' names, in the model's order.</param>
/// <param name="Left">Weights that will be quantized but whose form is not one of these: the node that reads them, and why.</param>
internal sealed record StoredNumbers(IReadOnlyDictionary<string, WeightNumbers> ByName, IReadOnlyList<(NodeProto Node, string Reason)> Left)
{
    /// <summary>What <see cref="Quantize.Run"/> will do with the weights of a model.</summary>
    /// <param name="model">The cleaned-up float model.</param>
    /// <param name="plan">The quantization.</param>
    /// <param name="context">Policy and rules, the same as those of the quantization.</param>
    public static StoredNumbers Of(OnnxModel model, QuantizePlan plan, PassContext context)
    {
        var eight = plan.Bits is null ? plan : plan with { Bits = null, Activations = ActivationMode.None };
        var choices = plan.Bits is { } bits ? BitsSelection.Of(model, eight, bits, context) : new(new FormSelection(model, eight, context).Choose(), [], new Dictionary<NodeWeight, NodeWeight>());
        var forms = plan.Bits is null ? null : BitsSelection.Forms(model, plan.Bits, context);
        var few = choices.Wanted.Select(c => c.Node).ToHashSet<NodeProto>(ReferenceEqualityComparer.Instance);
        var found = new Dictionary<string, WeightNumbers>();
        var left = new List<(NodeProto, string)>();
        var known = new Dictionary<string, string>();
        foreach (var (choice, weight) in choices.Choices.Where(c => c.Form is not (null or QuantizedForm.Half)).SelectMany(c => c.Weights, (c, w) => (c, w)))
        {
            var name = weight.Node.Input[weight.Input];
            var form = few.Contains(choice.Node) ? Few(weight, plan.Bits!, forms!, choice) : new(weight, choice.Form!.Value)
            {
                PerChannel = plan.PerChannel && (choice.Form == QuantizedForm.Weights || context.Runtime.Formats.IsPerChannel(choice.Node.OpType)),
            };
            var reason = weight.Home != 0 || !model.Graph.Initializer.Any(t => t.Name == name) ? "it is no initializer of the main graph"
                : weight.Type != DataType.Float ? $"it is {ElementTypes.Name(weight.Type)}"
                : known.TryGetValue(name, out var other) && other != form.Key ? "another node will store it in another form" : null;
            if (reason is not null)
            {
                left.Add((choice.Node, $"'{name}': {reason}"));
                found.Remove(name);
                continue;
            }

            if (known.TryAdd(name, form.Key))
                found[name] = form;
        }

        return new(found, left);
    }

    private static WeightNumbers Few(NodeWeight weight, BitsPlan plan, BitForms forms, FormChoice choice)
    {
        var layout = RowLayout.Of(weight)!.Value;
        var group = plan.Bits == 1 ? BitForms.Divisor(layout.Columns, plan.Group) : forms.Group(weight, layout, BitQuantizer.Grid(plan).Bits, plan.Group);
        return new(weight, choice.Form!.Value) { Layout = layout, Group = group };
    }
}
