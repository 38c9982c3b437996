using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.Quantization.Search;

/// <summary>
/// Predicts how long a run of the main graph takes from the policy's cost table. A node in the 8-bit part costs its static form, a dynamic
/// product its own and the quantization of its input (once a value), every other node float; each value that enters the part costs
/// a QuantizeLinear, each that leaves it a DequantizeLinear. Costs of nodes and values are found once; a prediction adds them up.
/// A node of unknown shapes costs nothing in any form.
/// </summary>
internal sealed class LatencyModel
{
    private readonly CostTable _costs;
    private readonly List<PricedNode> _nodes = [];
    private readonly Dictionary<string, PricedValue> _values = [];

    /// <param name="index">The main graph of the float model.</param>
    /// <param name="costs">The policy's table.</param>
    /// <param name="shapes">All values of the graph with weights, as <see cref="ValueTypes.Observe"/> gives them for a sample.</param>
    public LatencyModel(GraphIndex index, CostTable costs, IReadOnlyDictionary<string, ValueDescription> shapes)
    {
        _costs = costs;
        var work = new NodeWork(shapes, index);
        var places = new Dictionary<NodeProto, int>(ReferenceEqualityComparer.Instance);
        foreach (var node in index.Graph.Node)
        {
            places[node] = _nodes.Count;
            _nodes.Add(Price(node, work));
        }

        foreach (var priced in _nodes)
            Connect(priced, index, places, shapes);
    }

    /// <summary>Multiply-accumulates of a node; 0 where it has none or a shape is unknown.</summary>
    public static long Macs(NodeProto node, IReadOnlyDictionary<string, ValueDescription> shapes) => NodeWork.Macs(node, shapes);

    /// <summary>Nanoseconds of one run.</summary>
    /// <param name="part">The 8-bit part of the graph that was indexed; null for none.</param>
    /// <param name="dynamic">The products whose range is taken at run time; none of them in the part. They are compared by reference.</param>
    public double Predict(StaticGraph? part, IReadOnlySet<NodeProto> dynamic)
    {
        var total = _costs.Run;
        var states = new State[_nodes.Count];
        for (var i = 0; i < states.Length; i++)
        {
            var node = _nodes[i].Node;
            states[i] = part is null ? (dynamic.Contains(node) ? State.Dynamic : State.Float)
                : part.IsAbsorbed(node) ? State.Absorbed
                : part.Contains(node) ? State.Static
                : dynamic.Contains(node) ? State.Dynamic : State.Float;
        }

        var entered = new HashSet<PricedValue>(ReferenceEqualityComparer.Instance);
        var ranged = new HashSet<PricedValue>(ReferenceEqualityComparer.Instance);
        for (var i = 0; i < states.Length; i++)
        {
            var priced = _nodes[i];
            switch (states[i])
            {
                case State.Static:
                    total += priced.Static + Borders(priced, part!, states, entered);
                    break;
                case State.Dynamic:
                    total += priced.Dynamic;
                    foreach (var input in priced.Inputs)
                    {
                        if (ranged.Add(input))
                            total += input.DynamicQuantize;
                    }

                    break;
                case State.Float:
                    total += priced.FusedInto is { } producer && states[producer] == State.Float ? 0 : priced.Float;
                    break;
            }
        }

        return total;
    }

    private double Borders(PricedNode priced, StaticGraph part, State[] states, HashSet<PricedValue> entered)
    {
        double total = 0;
        foreach (var input in priced.Inputs)
        {
            if (!IsMadeInside(input, states, part) && entered.Add(input))
                total += input.Quantize;
        }

        for (var i = 0; i < priced.Outputs.Count; i++)
        {
            var output = priced.Outputs[i];
            // The value that the rest of the graph reads is behind the absorbed activation.
            if (i == 0 && part.Absorbed(priced.Node) is { } absorbed)
                output = _values[absorbed.Node.Output[0]];
            var (inside, outside) = (false, output.IsOutput);
            foreach (var (reader, data) in output.Readers)
            {
                if (states[reader] == State.Static && data)
                    inside = true;
                else
                    outside = true;
            }

            // A product that leads nowhere inside gives float by itself.
            if (outside && (inside || !part.Weighted.Contains(priced.Node) || priced.Node.OpType == "Conv"))
                total += output.Dequantize;
        }

        return total;
    }

    private static bool IsMadeInside(PricedValue value, State[] states, StaticGraph part) => value.Producer is { } producer
        && (states[producer] == State.Absorbed || states[producer] == State.Static && part.IsMadeInside(value.Name));

    private PricedNode Price(NodeProto node, NodeWork work)
    {
        var priced = new PricedNode(node);
        var opType = node.IsStandard() ? node.OpType : $"{node.Domain}.{node.OpType}";
        if (!node.Is("Constant") && _costs.Find(opType, work.Kind(node)) is { } row && work.Of(node, _costs.Block) is { } amount)
        {
            priced.Float = row.Float.Of(amount);
            priced.Static = row.Static?.Of(amount) ?? priced.Float;
            priced.Dynamic = row.Dynamic?.Of(amount) ?? priced.Float;
        }

        return priced;
    }

    private void Connect(PricedNode priced, GraphIndex index, Dictionary<NodeProto, int> places, IReadOnlyDictionary<string, ValueDescription> shapes)
    {
        var node = priced.Node;
        foreach (var name in StaticGraph.DataInputs(node, index).Select(i => node.InputOrEmpty(i)).Where(n => n.Length > 0 && index.Constant(n) is null))
            priced.Inputs.Add(Value(name));
        foreach (var name in node.Output.Where(n => n.Length > 0))
            priced.Outputs.Add(Value(name));
        if (node.IsStandard() && _costs.Fused.Contains(node.OpType))
        {
            priced.FusedInto = priced.Inputs.Where(v => v.Producer is not null && v.Readers.Count == 1 && !v.IsOutput).Select(v => v.Producer)
                .FirstOrDefault(p => index.Graph.Node[p!.Value] is var producer && (producer.Is("Conv") || producer.Is("Gemm") && node.OpType != "Add"));
        }

        double Behind(NodeProto? maker) =>
            maker is not null && maker.IsStandard() && maker.Input.Count > 0 && _costs.Behind.FirstOrDefault(r => r.Operators.Contains(maker.OpType)) is { } row
            && NodeWork.Shape(shapes, maker.Input[0]) is { } read && NodeWork.Shape(shapes, maker.Output[0]) is { } made
                ? row.Float.Of(new(0, ElementTypes.Count(read), ElementTypes.Count(made), 0, 0)) : 0;

        PricedValue Value(string name)
        {
            if (_values.TryGetValue(name, out var known))
                return known;
            KernelWork? work = NodeWork.Shape(shapes, name) is { } shape && ElementTypes.Count(shape) is var count ? new(0, count, count, 0, 0) : null;
            var readers = index.Consumers(name).Select(c => (places[c], StaticGraph.DataInputs(c, index).Any(i => c.InputOrEmpty(i) == name))).ToList();
            return _values[name] = new(name, index.Producer(name) is { } producer ? places[producer] : null, readers, index.IsOutput(name))
            {
                Quantize = work is { } w ? _costs.Quantize.Of(w) + Behind(index.Producer(name)) : 0,
                Dequantize = work is { } d ? _costs.Dequantize.Of(d) : 0,
                DynamicQuantize = work is { } r ? _costs.DynamicQuantize.Of(r) : 0,
            };
        }
    }

    private enum State
    {
        Float,
        Static,
        Dynamic,
        Absorbed,
    }

    private sealed class PricedNode(NodeProto node)
    {
        public NodeProto Node => node;

        public double Float { get; set; }

        public double Static { get; set; }

        public double Dynamic { get; set; }

        /// <summary>The node that this one vanishes into while both are float.</summary>
        public int? FusedInto { get; set; }

        /// <summary>Activations read.</summary>
        public List<PricedValue> Inputs { get; } = [];

        public List<PricedValue> Outputs { get; } = [];
    }

    private sealed record PricedValue(string Name, int? Producer, List<(int Node, bool Data)> Readers, bool IsOutput)
    {
        public double Quantize { get; init; }

        public double Dequantize { get; init; }

        public double DynamicQuantize { get; init; }
    }
}
