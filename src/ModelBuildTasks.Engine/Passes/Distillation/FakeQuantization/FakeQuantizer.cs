using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Quantization;
using ModelBuildTasks.Engine.Passes.Quantization.Bits;
using ModelBuildTasks.Engine.Passes.Quantization.Rounding;

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
        var stored = StoredNumbers.Of(student, plan, context);
        var quantizer = new FakeQuantizer([.. stored.Left.Select(l => new Decision(l.Node.DisplayName(), l.Node.OpType, "not trained in its stored form", l.Reason))]);
        var forms = plan.Bits is null ? null : BitsSelection.Forms(student, plan.Bits, context);
        var data = Observe(student, stored, plan, context);
        foreach (var (name, form) in stored.ByName)
            quantizer._weights[name] = () => Start(student, name, form, plan, forms, data, context.Threads);
        return quantizer;
    }

    /// <summary>What rounding by GPTQ needs, where the quantization behind would do it: training then begins with the weights that this would end with.</summary>
    private static RoundingData? Observe(OnnxModel student, StoredNumbers stored, QuantizePlan plan, PassContext context)
    {
        if (plan.Bits is not { Bits: > 1, Method: BitsMethod.Auto or BitsMethod.Gptq } || context.Calibration is not { } calibration)
            return null;
        var data = new RoundingData(student.Graph, stored.ByName.Values.Where(f => f.Layout is not null).Select(f => f.Weight));
        context.Statistics.Collect(student, [], calibration, context.Threads, _ => context.Cancellation.ThrowIfCancellationRequested(), null, data.Matrices);
        return data;
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

    private static FakeWeight Start(OnnxModel student, string name, WeightNumbers form, QuantizePlan plan, BitForms? forms, RoundingData? data, int threads)
    {
        var latent = student.ReadFloats(form.Weight.Tensor);
        if (form.Layout is not { } layout)
            return new FakeEight(name, latent, form.Channels.Outer, form.Channels.Channels, form.Channels.Inner);
        if (plan.Bits!.Bits == 1)
            return new FakePlanes(name, latent, layout, plan.Bits);
        var (start, halves, _) = new BitQuantizer(student, plan.Bits, data, forms!, threads).Quantize(form.Weight);
        var grid = new FakeGrid(name, latent, start, halves);
        if (data?.Of(form.Weight) is not { Count: > 0 })
            return grid;
        // What GPTQ rounds another way than to nearest begins at its code.
        var (nearest, found) = (new float[latent.Length], start.Decode());
        grid.Write(nearest);
        for (var i = 0; i < latent.Length; i++)
        {
            if (nearest[i] != found[i])
                latent[i] = found[i];
        }

        return grid;
    }
}
