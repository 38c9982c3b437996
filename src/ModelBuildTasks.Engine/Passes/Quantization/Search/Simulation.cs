using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Quantization.Rounding;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.Quantization.Search;

/// <summary>
/// The float model with the rounding of chosen places in it, so that the error of one decision can be measured at the outputs.
/// Arithmetic stays float: what is measured does not depend on the integer kernels of the machine.
/// </summary>
/// <param name="model">The float model; unchanged.</param>
/// <param name="weights">Its weights by place.</param>
/// <param name="decode">What a weight decodes to when it is stored in a form.</param>
/// <param name="plan">What is asked for.</param>
/// <param name="formats">The numbers that the runtime computes with.</param>
internal sealed class Simulation(
    OnnxModel model, IReadOnlyDictionary<(NodeAddress Node, int Input), NodeWeight> weights, Func<NodeWeight, QuantizedForm, float[]?, (float[] Weight, float[]? Bias)> decode, QuantizePlan plan,
    NumberFormats formats)
{
    private readonly Dictionary<(NodeAddress, int, QuantizedForm), (TensorProto Weight, TensorProto? Bias)> _weights = [];
    private readonly Lock _lock = new();

    /// <summary>The simulation of a model whose weights are decoded as they will be stored.</summary>
    public static Simulation Of(OnnxModel model, IReadOnlyList<FormChoice> choices, QuantizePlan plan, NumberFormats formats, WeightRounding? rounding, NodeMap map)
    {
        var weights = choices.SelectMany(c => c.Weights.Select(w => (Key: (map[c.Node], w.Input), Weight: w))).ToDictionary(p => p.Key, p => p.Weight);
        return new(model, weights, new WeightDecoder(model, plan, formats, rounding).Decode, plan, formats);
    }

    /// <summary>A copy of the model that rounds at the given places.</summary>
    public OnnxModel Build(IEnumerable<NoiseSource> sources)
    {
        var clone = model.Clone();
        var map = new NodeMap(clone);
        var rewrite = new RewriteContext(clone, plan, formats);
        var names = rewrite.Names;
        var before = new Dictionary<NodeProto, List<NodeProto>>(ReferenceEqualityComparer.Instance);
        var behind = new Dictionary<NodeProto, List<NodeProto>>(ReferenceEqualityComparer.Instance);
        var replaced = new Dictionary<NodeProto, NodeProto>(ReferenceEqualityComparer.Instance);
        var first = new List<NodeProto>();
        var indexes = new Dictionary<GraphProto, GraphIndex>(ReferenceEqualityComparer.Instance);
        var producers = new Dictionary<string, NodeProto>();
        foreach (var node in clone.Graph.Node)
        {
            foreach (var output in node.Output.Where(o => o.Length > 0))
                producers.TryAdd(output, node);
        }

        // Weights first: an LSTM takes them along.
        foreach (var source in sources.OrderBy(s => s is WeightNoise ? 0 : 1))
        {
            switch (source)
            {
                case WeightNoise weight:
                    Weight(map, weight, names);
                    break;
                case DynamicNoise dynamic:
                    var product = map.Node(dynamic.Node);
                    if (product.OpType == "LSTM")
                    {
                        // The hidden state is rounded inside, and the weights, which are rounded already, once more.
                        replaced[product] = DynamicLstm.Make(rewrite, clone.Graph, product, [.. NodeWeight.Of(product, Index(map.Graph(dynamic.Node))).Select(w => (w, rewrite.QuantizeForIntegers(w).Quantized))]);
                        break;
                    }

                    foreach (var input in StaticGraph.DataInputs(product, Index(map.Graph(dynamic.Node))).ToList())
                    {
                        string q = names.Next("sim_q"), s = names.Next("sim_s"), z = names.Next("sim_z"), y = names.Next("sim_d");
                        Add(before, product,
                            GraphExtensions.Node("DynamicQuantizeLinear", [product.Input[input]], [q, s, z]),
                            GraphExtensions.Node("DequantizeLinear", [q, s, z], [y]));
                        product.Input[input] = y;
                    }

                    break;
                case ActivationNoise activation:
                    Activation(activation);
                    break;
            }
        }

        foreach (var graph in clone.Graph.WithBodies().ToList())
        {
            var nodes = graph == clone.Graph ? new List<NodeProto>(first) : [];
            foreach (var node in graph.Node)
            {
                nodes.AddRange(before.GetValueOrDefault(node) ?? []);
                nodes.Add(replaced.GetValueOrDefault(node, node));
                nodes.AddRange(behind.GetValueOrDefault(node) ?? []);
            }

            graph.Node.Clear();
            graph.Node.AddRange(nodes);
        }

        return clone;

        GraphIndex Index(GraphProto graph)
        {
            if (indexes.TryGetValue(graph, out var known))
                return known;
            var outer = clone.Graph.WithBodies().FirstOrDefault(g => g.Node.Any(n => n.Bodies().Contains(graph, ReferenceEqualityComparer.Instance)));
            return indexes[graph] = new GraphIndex(clone, graph, outer is null ? null : Index(outer));
        }

        void Activation(ActivationNoise activation)
        {
            var producer = producers.GetValueOrDefault(activation.Value);
            string from = activation.Value, to = names.Next("sim_a");
            if (activation.Readers.Count == 0 && producer is not null)
            {
                // Everybody reads the rounded value: it keeps the name.
                (from, to) = (names.Next("sim_r"), activation.Value);
                for (var i = 0; i < producer.Output.Count; i++)
                {
                    if (producer.Output[i] == activation.Value)
                        producer.Output[i] = from;
                }
            }
            else
            {
                foreach (var reader in activation.Readers.Select(map.Node))
                {
                    for (var i = 0; i < reader.Input.Count; i++)
                    {
                        if (reader.Input[i] == activation.Value)
                            reader.Input[i] = to;
                    }
                }
            }

            var pair = Pair(rewrite, activation.Parameters, from, to);
            if (producer is null)
                first.AddRange(pair);
            else
                Add(behind, producer, pair);
        }
    }

    private static NodeProto[] Pair(RewriteContext rewrite, AffineParameters parameters, string from, string to)
    {
        var scale = rewrite.Add<float>(rewrite.Model.Graph, "sim_s", DataType.Float, [], [parameters.Scale]);
        var zero = rewrite.ZeroPoint(rewrite.Model.Graph, parameters);
        var codes = rewrite.Fresh("sim_q");
        return
        [
            rewrite.QuantizationNode("QuantizeLinear", [from, scale, zero], codes, parameters.Type),
            rewrite.QuantizationNode("DequantizeLinear", [codes, scale, zero], to, parameters.Type),
        ];
    }

    private void Weight(NodeMap map, WeightNoise noise, NameAllocator names)
    {
        var node = map.Node(noise.Node);
        var (weight, bias) = Decoded(noise);
        node.Input[noise.Input] = Add(weight);
        if (bias is not null)
            node.Input[2] = Add(bias);

        string Add(TensorProto tensor)
        {
            tensor = tensor.Clone();
            tensor.Name = names.Next("sim_w");
            map.Graph(noise.Node).Initializer.Add(tensor);
            return tensor.Name;
        }
    }

    private (TensorProto Weight, TensorProto? Bias) Decoded(WeightNoise noise)
    {
        lock (_lock)
        {
            var key = (noise.Node, noise.Input, noise.Form);
            if (!_weights.TryGetValue(key, out var tensors))
                _weights[key] = tensors = Decode(noise);
            return tensors;
        }
    }

    private (TensorProto Weight, TensorProto? Bias) Decode(WeightNoise noise)
    {
        var source = weights[(noise.Node, noise.Input)];
        var bias = source.Bias;
        var (values, corrected) = decode(source, noise.Form, bias is null ? null : model.ReadFloats(bias));
        return (Tensor(source.Tensor, values), corrected is null ? null : Tensor(bias!, corrected));
    }

    private TensorProto Tensor(TensorProto like, float[] values) => (DataType)like.DataType == DataType.Float16
        ? model.CreateTensor<Half>("", DataType.Float16, like.Dims, [.. values.Select(v => (Half)v)])
        : model.CreateTensor<float>("", DataType.Float, like.Dims, values);

    private static void Add(Dictionary<NodeProto, List<NodeProto>> at, NodeProto node, params ReadOnlySpan<NodeProto> added)
    {
        if (!at.TryGetValue(node, out var list))
            at[node] = list = [];
        list.AddRange(added);
    }
}
