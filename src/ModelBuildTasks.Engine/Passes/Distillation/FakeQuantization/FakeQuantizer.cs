using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Quantization;
using ModelBuildTasks.Engine.Passes.Quantization.Bits;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.DistillationSteps.FakeQuantization;

/// <summary>
/// The weights that a quantization will store in 8 bits or fewer, and how: a student that is trained with it has for weights exactly what the
/// quantization, with the same options, will store.
/// </summary>
internal sealed class FakeQuantizer
{
    private readonly Dictionary<string, Func<FakeWeight>> _weights = [];

    private FakeQuantizer(IReadOnlyList<Decision> left) => Left = left;

    /// <summary>The names of the weights, in the model's order.</summary>
    public IReadOnlyCollection<string> Names => _weights.Keys;

    /// <summary>Weights that will be quantized but are not trained as such, and why.</summary>
    public IReadOnlyList<Decision> Left { get; }

    /// <summary>What <see cref="Quantize.Run"/> will do with the weights of a student.</summary>
    /// <param name="student">The cleaned-up float model.</param>
    /// <param name="plan">The quantization behind the training.</param>
    /// <param name="context">Policy and rules, the same as those of the quantization.</param>
    /// <exception cref="ModelBuildException">MBT2049: a quantization that would not find the trained values again.</exception>
    public static FakeQuantizer Of(OnnxModel student, QuantizePlan plan, PassContext context)
    {
        Refuse(plan);
        var eight = plan.Bits is null ? plan : plan with { Bits = null, Activations = ActivationMode.None };
        var choices = plan.Bits is { } bits ? BitsSelection.Of(student, eight, bits, context) : new(new FormSelection(student, eight, context).Choose(), [], new Dictionary<NodeWeight, NodeWeight>());
        var forms = plan.Bits is null ? null : BitsSelection.Forms(student, plan.Bits, context);
        var few = choices.Wanted.Select(c => c.Node).ToHashSet<NodeProto>(ReferenceEqualityComparer.Instance);
        var left = new List<Decision>();
        var quantizer = new FakeQuantizer(left);
        var known = new Dictionary<string, string>();
        foreach (var (choice, weight) in choices.Choices.Where(c => c.Form is not (null or QuantizedForm.Half)).SelectMany(c => c.Weights, (c, w) => (c, w)))
        {
            var name = weight.Node.Input[weight.Input];
            var (key, start) = few.Contains(choice.Node) ? Few(student, weight, plan.Bits!, forms!) : Eight(student, weight, choice, plan, context);
            var reason = weight.Home != 0 || !student.Graph.Initializer.Any(t => t.Name == name) ? "it is no initializer of the main graph"
                : weight.Type != DataType.Float ? $"it is {ElementTypes.Name(weight.Type)}"
                : known.TryGetValue(name, out var other) && other != key ? "another node will store it in another form" : null;
            if (reason is not null)
            {
                left.Add(new(choice.Node.DisplayName(), choice.Node.OpType, "not trained in its stored form", $"'{name}': {reason}"));
                quantizer._weights.Remove(name);
                continue;
            }

            if (known.TryAdd(name, key))
                quantizer._weights[name] = start;
        }

        return quantizer;
    }

    /// <summary>The same for some of the weights.</summary>
    public FakeQuantizer Only(IReadOnlyCollection<string> names)
    {
        var only = new FakeQuantizer(Left);
        foreach (var (name, start) in _weights.Where(w => names.Contains(w.Key)))
            only._weights[name] = start;
        return only;
    }

    /// <summary>The weights at the beginning of a training.</summary>
    /// <param name="trained">Names of those that are trained.</param>
    public IReadOnlyDictionary<string, FakeWeight> Start(IReadOnlyCollection<string> trained) =>
        _weights.Where(w => trained.Contains(w.Key)).ToDictionary(w => w.Key, w => w.Value());

    /// <summary>The student whose weights that are not trained are what they will be stored as.</summary>
    /// <param name="student">The student; unchanged.</param>
    /// <param name="trained">Names of those that are trained.</param>
    public OnnxModel Freeze(OnnxModel student, IReadOnlyCollection<string> trained)
    {
        var frozen = student.Clone();
        foreach (var tensor in frozen.Graph.Initializer.Where(t => _weights.ContainsKey(t.Name) && !trained.Contains(t.Name)).ToList())
        {
            var values = new float[ElementTypes.Count(tensor.Dims)];
            _weights[tensor.Name]().Write(values);
            GraphEdit.ReplaceInitializer(frozen.Graph, tensor, frozen.CreateTensor(tensor.Name, tensor.Dims, values));
        }

        return frozen;
    }

    private static void Refuse(QuantizePlan plan)
    {
        var reason = plan.Bits switch
        {
            { Average: not null } => "bits that a budget spreads over the weights are spread anew after training",
            { Method: BitsMethod.Awq } => "method awq scales the weights after training",
            { Bits: 1, Planes: > 2 } => "more than two binary planes cannot be told from their sum",
            _ => null,
        };
        if (reason is not null)
            throw new ModelBuildException(DiagnosticCodes.NotTrainedAsStored, $"weights cannot be trained as quantize will store them: {reason}", plan.Location);
    }

    private static (string Key, Func<FakeWeight> Start) Few(OnnxModel student, NodeWeight weight, BitsPlan plan, BitForms forms)
    {
        var (name, layout) = (weight.Node.Input[weight.Input], RowLayout.Of(weight)!.Value);
        if (plan.Bits == 1)
            return ($"planes {layout}", () => new FakePlanes(name, student.ReadFloats(weight.Tensor), layout, plan));
        var group = forms.Group(weight, layout, BitQuantizer.Grid(plan).Bits, plan.Group);
        return ($"grid {layout} {group}", () => Grid(student, weight, plan, forms));
    }

    private static FakeGrid Grid(OnnxModel student, NodeWeight weight, BitsPlan plan, BitForms forms)
    {
        var (start, halves, _) = new BitQuantizer(student, plan, null, forms, 1).Quantize(weight);
        return new(weight.Node.Input[weight.Input], student.ReadFloats(weight.Tensor), start, halves);
    }

    private static (string Key, Func<FakeWeight> Start) Eight(OnnxModel student, NodeWeight weight, FormChoice choice, QuantizePlan plan, PassContext context)
    {
        var perChannel = plan.PerChannel && (choice.Form == QuantizedForm.Weights || context.Runtime.Formats.IsPerChannel(choice.Node.OpType));
        var (outer, channels, inner) = perChannel ? (weight.Outer, weight.Channels, weight.Inner) : (1, 1, weight.Count);
        return ($"eight {outer} {channels} {inner}", () => new FakeEight(weight.Node.Input[weight.Input], student.ReadFloats(weight.Tensor), outer, channels, inner));
    }
}
