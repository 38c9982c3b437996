using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.Quantization;

/// <summary>What is to be done with one weighted node, and why.</summary>
/// <param name="Graph">The graph the node is in.</param>
/// <param name="Node">The node.</param>
/// <param name="Weights">Its constant weights; empty when it has none.</param>
/// <param name="Form">The form it gets, or null when it is left.</param>
/// <param name="Reason">Why.</param>
internal sealed record FormChoice(GraphProto Graph, NodeProto Node, IReadOnlyList<NodeWeight> Weights, QuantizedForm? Form, string Reason)
{
    /// <summary>The forms that the pass allows and that fit the node, the preferred first.</summary>
    public IReadOnlyList<FormOption> Options { get; init; } = [];

    /// <summary>The share of the outputs' power that the node's rounding takes, where it was measured.</summary>
    public double? OutputNoise { get; init; }

    /// <summary>Whether the node multiplies two activations: it has nothing to store, and float is one of its options.</summary>
    public bool IsProduct => Weights.Count == 0 && Options.Count > 0;

    /// <summary>The same choice for the same node of another clone.</summary>
    public FormChoice On(GraphProto graph, NodeProto node) => this with { Graph = graph, Node = node, Weights = [.. Weights.Select(w => w with { Node = node })] };

    /// <summary>The choice when a form turns out to be impossible: the next option, or none.</summary>
    public FormChoice Without(QuantizedForm form, string reason)
    {
        var left = Options.Where(o => o.Form != form).ToList();
        return this with
        {
            Options = left,
            Form = left.Count > 0 ? left[0].Form : null,
            Reason = left.Count > 0 ? $"{left[0].Reason}, since {reason}" : reason,
        };
    }
}

/// <summary>A form that fits a node.</summary>
/// <param name="Form">The form; null for float, where the node has nothing to store.</param>
/// <param name="Reason">Why it would be taken.</param>
internal sealed record FormOption(QuantizedForm? Form, string Reason);

/// <summary>
/// Chooses for each weighted node the first form in the policy's order that the pass allows and that fits the node.
/// </summary>
internal sealed class FormSelection(OnnxModel model, QuantizePlan plan, PassContext context)
{
    // What a form adds to the file besides codes and scales: nodes, names and small tensors, as measured on written files.
    private const int StaticOverhead = 260;
    private const int DynamicOverhead = 280;
    private const int WeightsOverhead = 110;
    private const int HalfOverhead = 60;

    private readonly RuleSet _rules = new(model, context.Rules);

    private IReadOnlyDictionary<string, Data.ValueDescription>? _types;

    private readonly Dictionary<TensorProto, bool> _finite = new(ReferenceEqualityComparer.Instance);

    /// <summary>One choice for each node of a weighted operator, in graph order, bodies behind the node they belong to.</summary>
    public IReadOnlyList<FormChoice> Choose() => Choose(model.Graph, null);

    private List<FormChoice> Choose(GraphProto graph, GraphIndex? outer)
    {
        var index = new GraphIndex(model, graph, outer);
        var choices = new List<FormChoice>();
        foreach (var node in graph.Node)
        {
            if (node.IsStandard() && context.Runtime.Operators.TryGetValue(node.OpType, out var policy) && policy.Forms.Count > 0
                && Choose(graph, node, policy, index, inBody: outer is not null) is { } choice)
            {
                choices.Add(choice);
            }

            foreach (var body in node.Bodies())
                choices.AddRange(Choose(body, index));
        }

        return choices;
    }

    private FormChoice? Choose(GraphProto graph, NodeProto node, OperatorPolicy policy, GraphIndex index, bool inBody)
    {
        var weights = NodeWeight.Of(node, index);
        if (weights.Count == 0)
        {
            // A Gather of activations, or a product of two activations, has no weight and is no weighted node.
            return context.Runtime.Products.Count > 0 && StaticGraph.IsProduct(node, index) ? Product(graph, node, inBody)
                : policy.Role == OperatorRole.Weighted ? Left("its weight is computed, not constant") : null;
        }

        var ruled = _rules.Forms(node);
        if (ruled is { Count: 0 })
            return Left("a rule leaves it in float");
        if (weights.FirstOrDefault(w => w.Type is not (DataType.Float or DataType.Float16)) is { } other)
            return Left($"its weight is {ElementTypes.Name(other.Type)}, not float");
        if (weights.Any(w => !IsFinite(w)))
            return Left("its weight holds values that are not finite");
        var refusals = new List<string>();
        var options = new List<FormOption>();
        foreach (var form in policy.Forms.Where((ruled ?? Wanted).Contains))
        {
            var refusal = Refusal(form, node, weights, index, inBody, ruled is not null);
            if (refusal is null)
                options.Add(new(form, Reason(form, options.Count == 0 ? refusals : [])));
            else if (!refusals.Contains(refusal))
                refusals.Add(refusal);
        }

        if (options.Count > 0)
            return new FormChoice(graph, node, weights, options[0].Form, options[0].Reason) { Options = options };
        return Left(refusals.Count > 0 ? string.Join("; ", refusals) : $"{context.Runtime.Name} has no form of {node.OpType} that the {(ruled is null ? "pass" : "rule")} asks for");

        FormChoice Left(string reason) => new(graph, node, weights, null, reason);
    }

    /// <summary>A product of two activations: no form of it saves bytes, so that float is always the last option.</summary>
    private FormChoice Product(GraphProto graph, NodeProto node, bool inBody)
    {
        var ruled = _rules.Forms(node);
        if (ruled is { Count: 0 })
            return Left("a rule leaves it in float");
        var refusals = new List<string>();
        var options = new List<FormOption>();
        foreach (var form in context.Runtime.Products.Where((ruled ?? Wanted).Contains))
        {
            var refusal = IntegerRefusal(form, inBody, ruled is not null)
                ?? (!node.Input.All(IsFloat) ? "its inputs are not float32" : null)
                ?? (form == QuantizedForm.Dynamic && ruled is null && !Searches ? "nothing tells whether ranges found at run time make it faster" : null);
            if (refusal is null)
                options.Add(new(form, Reason(form, options.Count == 0 ? refusals : [])));
            else if (!refusals.Contains(refusal))
                refusals.Add(refusal);
        }

        if (options.Count == 0)
            return Left(refusals.Count > 0 ? string.Join("; ", refusals) : $"{context.Runtime.Name} has no product of two activations that the {(ruled is null ? "pass" : "rule")} asks for");
        if (ruled is null)
            options.Add(new(null, "a product of two activations stores nothing"));
        return new FormChoice(graph, node, [], options[0].Form, options[0].Reason) { Options = options };

        FormChoice Left(string reason) => new(graph, node, [], null, reason);
    }

    // Which form of a product gains is seen by the search only.
    private bool Searches => plan.Activations == ActivationMode.Auto && context.Calibration is not null;

    private bool IsFloat(string value)
    {
        _types ??= ValueTypes.Infer(model);
        return _types.TryGetValue(value, out var known) && known.Type == DataType.Float;
    }

    private IReadOnlyList<QuantizedForm> Wanted => plan.Activations switch
    {
        ActivationMode.Uint8 or ActivationMode.Uint16 => [QuantizedForm.Static, QuantizedForm.Weights],
        ActivationMode.Dynamic => [QuantizedForm.Dynamic, QuantizedForm.Weights],
        ActivationMode.None => [QuantizedForm.Weights],
        _ => [QuantizedForm.Static, QuantizedForm.Dynamic, QuantizedForm.Weights, QuantizedForm.Half],
    };

    private string? Refusal(QuantizedForm form, NodeProto node, IReadOnlyList<NodeWeight> weights, GraphIndex index, bool inBody, bool ruled)
    {
        var saved = form == QuantizedForm.Half ? weights.Sum(w => w.Bytes - 2 * w.Count) : weights.Sum(w => w.Bytes - w.Count - Scales(w) * 4);
        var overhead = form switch
        {
            QuantizedForm.Static => StaticOverhead,
            QuantizedForm.Dynamic => DynamicOverhead,
            QuantizedForm.Half => HalfOverhead * weights.Count,
            _ => WeightsOverhead * weights.Count,
        };
        if (saved <= overhead)
            return $"its {weights.Sum(w => w.Count):N0} weights are too few: scales and nodes would take more than is saved";
        if (form is QuantizedForm.Weights or QuantizedForm.Half)
            return node.OpType == "Gather" && node.Int("axis") != 0 ? "rows are not taken along axis 0" : null;
        if (weights[0].Type != DataType.Float)
            return $"{Word(form)} quantization of float16 arithmetic is not available";
        if (IntegerRefusal(form, inBody, ruled) is { } refusal)
            return refusal;
        if (form == QuantizedForm.Static && index.Constant(node.InputOrEmpty(0)) is not null)
            return "its input is constant";
        return node.OpType switch
        {
            "Conv" when !BiasIs(node, index, weights[0].Channels) => "its bias is not constant",
            "LSTM" => DynamicLstm.Refusal(node, weights, context.Runtime.Formats.PairsSaturate),
            "MatMul" when weights[0].Tensor.Dims.Count != 2 => "its weight has more than two axes",
            "Gemm" when node.Float("alpha", 1) != 1 || node.Float("beta", 1) != 1 || node.Int("transA") != 0 => "it uses alpha, beta or transA",
            "Gemm" when !BiasIs(node, index, weights[0].Channels) => "its bias is not a constant row",
            _ => null,
        };
    }

    private string? IntegerRefusal(QuantizedForm form, bool inBody, bool ruled)
    {
        if (inBody && form == QuantizedForm.Static)
            return "static quantization is not done inside the bodies of If, Loop and Scan";
        if (inBody && plan.Activations != ActivationMode.Dynamic && !ruled)
            return "what dynamic quantization costs inside the bodies of If, Loop and Scan is not known: a rule or activations: dynamic ask for it";
        if (form == QuantizedForm.Static && context.Runtime.Formats.Activation(plan.Activations) is null)
            return $"{context.Runtime.Name} has no 16-bit activations";
        if (form == QuantizedForm.Static && context.Calibration is null)
            return "there is no calibration data";
        return model.Opset < 13 ? $"the model is at opset {model.Opset}, and {Word(form)} quantization needs 13" : null;
    }

    private bool IsFinite(NodeWeight weight)
    {
        // Several nodes may read one weight.
        if (_finite.TryGetValue(weight.Tensor, out var known))
            return known;
        var finite = true;
        FloatBlocks.ForEach(model, weight.Tensor, 1, context.Threads, (values, _, _, _) =>
        {
            if (!RoundKernels.AreFinite(values))
                Volatile.Write(ref finite, false);
        });
        return _finite[weight.Tensor] = finite;
    }

    private long Scales(NodeWeight weight) => plan.PerChannel ? weight.Channels : 1;

    private static bool BiasIs(NodeProto node, GraphIndex index, long channels)
    {
        if (node.InputOrEmpty(2).Length == 0)
            return true;
        return index.Constant(node.Input[2]) is { } bias && (DataType)bias.DataType == DataType.Float
            && ElementTypes.Count(bias.Dims) == channels && (bias.Dims.Count == 1 || bias.Dims.Count == 2 && bias.Dims[0] == 1);
    }

    private string Reason(QuantizedForm form, List<string> refusals)
    {
        var why = form switch
        {
            QuantizedForm.Static => $"{context.Runtime.Name} runs it on calibrated {(plan.Activations == ActivationMode.Uint16 ? 16 : 8)}-bit activations",
            QuantizedForm.Dynamic => $"{context.Runtime.Name} runs it on 8-bit activations whose range is taken at run time",
            QuantizedForm.Half => "float16 weights with float arithmetic",
            _ => "8-bit weights with float arithmetic",
        };
        return refusals.Count > 0 ? $"{why}, since {string.Join("; ", refusals)}" : why;
    }

    private static string Word(QuantizedForm form) => form == QuantizedForm.Static ? "static" : "dynamic";
}
