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
    private readonly List<NodeProto> _nodes = [];

    /// <summary>Rewrites the main graph.</summary>
    public void Apply(GraphIndex index, IReadOnlyDictionary<NodeProto, FormChoice> weighted)
    {
        // What is made inside has to be known before any output is renamed.
        var made = part.Nodes.SelectMany(n => part.UsedOutputs(n).Select(i => part.FinalOutput(n, i))).ToHashSet();
        foreach (var node in _graph.Node.ToList())
        {
            if (part.IsAbsorbed(node))
                continue;
            if (!part.Contains(node))
            {
                _nodes.Add(node);
                continue;
            }

            var outputs = part.UsedOutputs(node).Select(i => (Index: i, Name: part.FinalOutput(node, i))).ToList();
            // Asked before the edit: a weighted node that leads nowhere inside gives float.
            var quantizeOutput = !part.Weighted.Contains(node) || node.OpType == "Conv" || outputs.Exists(o => part.HasInsideConsumer(o.Name));
            foreach (var input in StaticGraph.DataInputs(node))
            {
                var name = node.Input[input];
                if (!made.Contains(name))
                    node.Input[input] = index.Constant(name) is { } constant ? Constant(name, constant) : Enter(name);
            }

            if (weighted.TryGetValue(node, out var choice))
                Weights(node, choice, index);
            _nodes.Add(node);
            foreach (var (output, name) in outputs)
            {
                if (quantizeOutput)
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

    private void Pair(string from, string to, string value)
    {
        var (scale, zeroPoint) = Parameters(value);
        var quantized = context.Fresh("q");
        _nodes.Add(GraphExtensions.Node("QuantizeLinear", [from, scale, zeroPoint], [quantized]));
        _nodes.Add(GraphExtensions.Node("DequantizeLinear", [quantized, scale, zeroPoint], [to]));
    }

    private (string Scale, string ZeroPoint) Parameters(string value)
    {
        var group = groups.Find(value);
        if (!_parameters.TryGetValue(group, out var names))
            _parameters[group] = names = Parameters(groups.Parameters(value, context.Plan));
        return names;
    }

    private (string Scale, string ZeroPoint) Parameters(AffineParameters parameters) =>
        (context.Shared<float>(_graph, $"s{BitConverter.SingleToInt32Bits(parameters.Scale)}", "s", DataType.Float, [], [parameters.Scale]),
            context.Shared<byte>(_graph, $"z{parameters.ZeroPoint}", "z", DataType.Uint8, [], [(byte)parameters.ZeroPoint]));

    /// <summary>The constant operand of an arithmetic node, stored in 8 bits.</summary>
    private string Constant(string name, TensorProto tensor)
    {
        if (_entries.TryGetValue(name, out var dequantized))
            return dequantized;
        var values = context.Model.ReadFloats(tensor);
        var range = values.Length == 0 ? default : new ValueRange(values.Min(), values.Max()).WithZero();
        var parameters = AffineQuantizer.Unsigned8(range);
        var (scale, zeroPoint) = Parameters(parameters);
        var codes = context.Add<byte>(_graph, "c", DataType.Uint8, tensor.Dims, AffineQuantizer.Quantize(values, parameters));
        dequantized = context.Fresh("d");
        _nodes.Add(GraphExtensions.Node("DequantizeLinear", [codes, scale, zeroPoint], [dequantized]));
        return _entries[name] = dequantized;
    }

    private void Weights(NodeProto node, FormChoice choice, GraphIndex index)
    {
        var weight = choice.Weights[0];
        var bias = node.OpType is "Conv" or "Gemm" && index.Constant(node.InputOrEmpty(2)) is { } tensor ? context.Model.ReadFloats(tensor) : null;
        var input = InputValue(node);
        var inputScale = groups.Parameters(input, context.Plan).Scale;
        var least = bias is null ? [] : AffineQuantizer.LeastScaleForBias(bias, inputScale);
        var (quantized, sqnr) = context.Quantize(weight, least);
        if (context.Plan.BiasCorrection && bias is not null && statistics.TryGetValue(input, out var seen))
            bias = BiasCorrection.Correct(bias, context.Model.ReadFloats(weight.Tensor), quantized, weight, seen.Channels.Means());
        var perTensor = !context.Plan.PerChannel;
        var (codes, scale) = context.AddWeight(_graph, weight, quantized, weight.Tensor.Dims, quantized.Values);
        node.Input[weight.Input] = Dequantize(codes, scale, context.WeightZeroPoint(_graph, weight.Channels, perTensor), perTensor ? null : weight.ChannelAxis);
        var bytes = weight.Count + quantized.Scales.Length * 4L;
        if (bias is not null)
        {
            var biasScale = quantized.Scales.Select(s => s * inputScale).ToArray();
            var biasCodes = AffineQuantizer.QuantizeBias(bias, inputScale, quantized.Scales);
            // A bias has one scale a channel also where the weight has one in all: its zero point and axis come with that.
            if (perTensor)
                biasScale = [.. Enumerable.Repeat(biasScale[0], bias.Length)];
            node.Input[2] = Dequantize(
                context.Add<int>(_graph, "b", DataType.Int32, [bias.Length], biasCodes),
                context.Add<float>(_graph, "sb", DataType.Float, [bias.Length], biasScale),
                context.Shared<int>(_graph, $"zb{bias.Length}", "zb", DataType.Int32, [bias.Length], new int[bias.Length]), 0);
            bytes += bias.Length * 4L;
        }

        context.Decide(choice, "int8 static", sqnr, bytes);
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
