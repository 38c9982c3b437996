using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Statistics;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.Quantization;

/// <summary>
/// Writes the 8-bit part of the graph as quantize/dequantize pairs (QDQ), the form that every runtime fuses into integer
/// kernels by itself. A value made inside the part keeps its name behind its pair, so that no reader has to be changed.
/// </summary>
internal sealed class StaticRewrite(
    RewriteContext context, StaticGraph part, ScaleGroups groups, IReadOnlyDictionary<string, TensorStatistics> statistics)
{
    private readonly GraphProto _graph = context.Model.Graph;
    private readonly Dictionary<string, (string Scale, string ZeroPoint)> _parameters = [];
    private readonly Dictionary<string, string> _entries = [];
    private readonly Dictionary<(string Name, string Group), string> _rescaled = [];
    private readonly List<NodeProto> _nodes = [];

    // A Mul with its names in the file.
    private const int ProductBytes = 48;

    /// <summary>Rewrites the main graph.</summary>
    public void Apply(GraphIndex index, IReadOnlyDictionary<NodeProto, FormChoice> weighted)
    {
        // What is made inside has to be known before any output is renamed.
        var made = part.Nodes.SelectMany(n => part.UsedOutputs(n).Select(i => part.FinalOutput(n, i))).ToHashSet();
        foreach (var node in _graph.Node.ToList())
        {
            if (part.IsAbsorbed(node))
            {
                if (part.KeepsActivations)
                {
                    _nodes.Add(node);
                    Leave(node, 0, node.Output[0]);
                }

                continue;
            }

            if (!part.Contains(node))
            {
                _nodes.Add(node);
                continue;
            }

            var outputs = part.UsedOutputs(node).Select(i => (Index: i, Name: part.FinalOutput(node, i))).ToList();
            // Asked before the edit.
            var quantizeOutput = !part.GivesFloat(node);
            foreach (var input in StaticGraph.DataInputs(node, index))
            {
                var name = node.Input[input];
                if (!made.Contains(name))
                    node.Input[input] = index.Constant(name) is { } constant ? Constant(name, constant) : Enter(name);
                else if (context.Formats.OneScale.Contains(node.OpType))
                    node.Input[input] = WithScaleOf(outputs[0].Name, name);
            }

            if (weighted.TryGetValue(node, out var choice) && choice.IsProduct)
                context.Decide(choice, "int8 static");
            else if (choice is not null)
                Weights(node, choice, index);
            _nodes.Add(node);
            foreach (var (output, name) in outputs)
            {
                var joined = output == 0 && part.KeepsActivations && part.Absorbed(node) is not null;
                if (quantizeOutput && !joined)
                    Leave(node, output, name);
            }
        }

        _graph.Node.Clear();
        _graph.Node.AddRange(_nodes);
    }

    /// <summary>A pair behind a float value, read by the nodes inside only.</summary>
    private string Enter(string name)
    {
        if (_entries.TryGetValue(name, out var dequantized))
            return dequantized;
        dequantized = context.Fresh("d");
        Pair(name, dequantized, name);
        return _entries[name] = dequantized;
    }

    /// <summary>A pair behind a value made inside: the node gets a fresh output, the pair's end takes the old name.</summary>
    private void Leave(NodeProto node, int output, string name)
    {
        var raw = context.Fresh("r");
        node.Output[output] = raw;
        Pair(raw, name, name);
    }

    /// <summary>A value made inside in the scale of <paramref name="other"/>: through one more pair where its own differs.</summary>
    private string WithScaleOf(string other, string name)
    {
        var group = groups.Find(other);
        if (groups.Find(name) == group || groups.Parameters(name) == groups.Parameters(other))
            return name;
        if (!_rescaled.TryGetValue((name, group), out var rescaled))
        {
            _rescaled[(name, group)] = rescaled = context.Fresh("d");
            Pair(name, rescaled, other);
        }

        return rescaled;
    }

    private void Pair(string from, string to, string value)
    {
        var (scale, zeroPoint) = Parameters(value);
        var type = groups.Parameters(value).Type;
        var quantized = context.Fresh("q");
        _nodes.Add(context.QuantizationNode("QuantizeLinear", [from, scale, zeroPoint], quantized, type));
        _nodes.Add(context.QuantizationNode("DequantizeLinear", [quantized, scale, zeroPoint], to, type));
    }

    private (string Scale, string ZeroPoint) Parameters(string value)
    {
        var group = groups.Find(value);
        if (!_parameters.TryGetValue(group, out var names))
            _parameters[group] = names = Parameters(groups.Parameters(value));
        return names;
    }

    private (string Scale, string ZeroPoint) Parameters(AffineParameters parameters) =>
        (context.Shared<float>(_graph, $"s{BitConverter.SingleToInt32Bits(parameters.Scale)}", "s", DataType.Float, [], [parameters.Scale]),
            context.ZeroPoint(_graph, parameters));

    /// <summary>The constant operand of an arithmetic node, stored in 8 bits.</summary>
    private string Constant(string name, TensorProto tensor)
    {
        if (_entries.TryGetValue(name, out var dequantized))
            return dequantized;
        var values = context.Model.ReadFloats(tensor);
        var range = values.Length == 0 ? default : new ValueRange(values.Min(), values.Max()).WithZero();
        var parameters = AffineQuantizer.Parameters(range, groups.Format);
        var (scale, zeroPoint) = Parameters(parameters);
        var codes = context.AddCodes(_graph, "c", tensor.Dims, AffineQuantizer.Codes(values, parameters), parameters.Type);
        dequantized = context.Fresh("d");
        _nodes.Add(context.QuantizationNode("DequantizeLinear", [codes, scale, zeroPoint], dequantized, parameters.Type));
        return _entries[name] = dequantized;
    }

    private void Weights(NodeProto node, FormChoice choice, GraphIndex index)
    {
        var weight = choice.Weights[0];
        var bias = node.OpType is "Conv" or "Gemm" && index.Constant(node.InputOrEmpty(2)) is { } tensor ? context.Model.ReadFloats(tensor) : null;
        var input = InputValue(node);
        var inputScale = groups.Parameters(input).Scale;
        var least = bias is null || !context.Formats.QuantizedBias ? [] : AffineQuantizer.LeastScaleForBias(bias, inputScale);
        var (quantized, sqnr) = context.QuantizeForIntegers(weight, least);
        if (bias is not null)
            bias = context.CorrectBias(weight, input, bias, quantized, statistics.GetValueOrDefault(input)?.Channels.Means());
        var perTensor = !context.IsPerChannel(weight);
        var (codes, scale) = context.AddWeight(_graph, weight, quantized, weight.Tensor.Dims, quantized.Values);
        node.Input[weight.Input] = Dequantize(codes, scale, context.WeightZeroPoint(_graph, weight.Channels, perTensor), perTensor ? null : weight.ChannelAxis);
        var bytes = weight.Count + quantized.Scales.Length * 4L;
        if (bias is not null && !context.Formats.QuantizedBias)
        {
            node.Input[2] = context.Add<float>(_graph, "b", DataType.Float, [bias.Length], bias);
            bytes += bias.Length * 4L;
        }
        else if (bias is not null)
        {
            var biasScale = quantized.Scales.Select(s => s * inputScale).ToArray();
            var biasCodes = AffineQuantizer.QuantizeBias(bias, inputScale, quantized.Scales);
            // A bias has one scale a channel also where the weight has one in all: its zero point and axis come with that.
            if (perTensor)
                biasScale = [.. Enumerable.Repeat(biasScale[0], bias.Length)];
            node.Input[2] = Dequantize(
                context.Add<int>(_graph, "b", DataType.Int32, [bias.Length], biasCodes),
                BiasScale(biasScale, perTensor ? null : scale, groups.Parameters(input)),
                context.Shared<int>(_graph, $"zb{bias.Length}", "zb", DataType.Int32, [bias.Length], new int[bias.Length]), 0);
            bytes += bias.Length * 4L;
        }

        context.Decide(choice, "int8 static", sqnr, bytes);
    }

    /// <summary>The scales of a bias: stored, or, where that is shorter and the runtime folds it, the product of the two that are there.</summary>
    private string BiasScale(float[] scales, string? weightScale, AffineParameters inputParameters)
    {
        if (!context.Formats.FoldsConstants || weightScale is null || scales.Length * sizeof(float) <= ProductBytes)
            return context.Add<float>(_graph, "sb", DataType.Float, [scales.Length], scales);
        var product = context.Fresh("sb");
        _nodes.Add(GraphExtensions.Node("Mul", [weightScale, Parameters(inputParameters).Scale], [product]));
        return product;
    }

    private string Dequantize(string codes, string scale, string zeroPoint, int? axis)
    {
        var output = context.Fresh("d");
        var node = GraphExtensions.Node("DequantizeLinear", [codes, scale, zeroPoint], [output]);
        // 1 is the default.
        if (axis is not null and not 1)
            node.Set("axis", axis.Value);
        _nodes.Add(node);
        return output;
    }

    /// <summary>The value that a node reads: the name of a pair's end for values from outside, the value's own name inside.</summary>
    private string InputValue(NodeProto node)
    {
        var name = node.Input[0];
        return _entries.FirstOrDefault(e => e.Value == name).Key ?? name;
    }
}
