using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.Quantization.Bits;

/// <summary>Gives the chosen nodes of a model their weights of few bits, each in the first form that the runtime has for it.</summary>
/// <param name="context">The model being edited.</param>
/// <param name="quantizer">Finds codes.</param>
/// <param name="plan">What is asked for.</param>
/// <param name="forms">Which form each weight gets.</param>
internal sealed class BitsRewrite(RewriteContext context, BitQuantizer quantizer, BitsPlan plan, BitForms forms)
{
    private readonly BitWriter _writer = new(context);
    private readonly HashSet<string> _ofMain = GraphEdit.Definitions(context.Model.Graph);

    // What bodies take from the main graph is decoded there, once for all of them.
    private readonly List<NodeProto> _front = [];

    /// <summary>What each weight gets; null where all get the plan's.</summary>
    public IReadOnlyDictionary<(int Home, string Name), BitChoice>? Grids { get; init; }

    /// <summary>Weights that are the transposition of a table.</summary>
    public required IReadOnlyDictionary<NodeWeight, NodeWeight> Twins { get; init; }

    /// <summary>Rewrites nodes of any graph of the model.</summary>
    /// <param name="chosen">The nodes, with their weights as they are in the float model.</param>
    public void Apply(IReadOnlyDictionary<NodeProto, FormChoice> chosen)
    {
        foreach (var graph in context.Model.Graph.WithBodies().ToList())
        {
            var nodes = new List<NodeProto>();
            foreach (var node in graph.Node)
            {
                if (chosen.TryGetValue(node, out var choice))
                    Write(graph, node, choice, nodes);
                else
                    nodes.Add(node);
            }

            graph.Node.Clear();
            graph.Node.AddRange(nodes);
        }

        _front.AddRange(context.Model.Graph.Node);
        context.Model.Graph.Node.Clear();
        context.Model.Graph.Node.AddRange(_front);
    }

    private void Write(GraphProto graph, NodeProto node, FormChoice choice, List<NodeProto> nodes)
    {
        long bytes = 0;
        double? worst = null;
        var words = new SortedSet<string>(StringComparer.Ordinal);
        var (replaced, how) = (false, "unpacked when the model is loaded");
        foreach (var weight in choice.Weights)
        {
            var name = weight.Node.Input[weight.Input];
            if (plan.Bits == 1)
            {
                var (planes, whole, noise) = quantizer.Planes(weight);
                bytes += Stored(graph, node, weight, nodes, (home, mine, decoding) => _writer.Stored(home, mine, planes, whole, decoding)) ? planes.Bytes(whole) : 0;
                worst = Math.Min(worst ?? 200, noise);
                words.Add(planes.Planes == 1 ? "binary" : $"{planes.Planes} binary planes");
                continue;
            }

            var (result, halves, sqnr) = quantizer.Quantize(weight, Grids?[BitBudget.Key(weight)]);
            worst = Math.Min(worst ?? 200, sqnr);
            words.Add(plan.Ternary ? "ternary" : $"{(result.Grid.Symmetric ? "int" : "uint")}{result.Grid.Bits}");
            var form = forms.Of(weight, result.Grid.Bits, result.Group);
            if (form == BitsForm.Blocked)
            {
                var twin = Twins.TryGetValue(weight, out var table) && _writer.HasTable(table.Node.Input[0]) ? table.Node.Input[0] : null;
                if (_writer.Blocked(graph, node, weight, result, halves, nodes, twin))
                    bytes += BitWriter.Bytes(result, halves, stored: false);
                (replaced, how) = (true, "computed on as they are");
            }
            else if (form == BitsForm.Gather)
            {
                if (_writer.Gather(graph, node, weight, result, halves, nodes))
                    bytes += BitWriter.Bytes(result, halves, stored: false);
                (replaced, how) = (true, "rows decoded when they are picked");
            }
            else
                bytes += Stored(graph, node, weight, nodes, (home, mine, decoding) => _writer.Stored(home, mine, result, halves, decoding)) ? BitWriter.Bytes(result, halves, stored: true) : 0;
        }

        if (!replaced)
            nodes.Add(node);
        context.Decide(choice with { Node = node, Reason = $"float arithmetic, weights {how}" }, string.Join(", ", words) + " weights", worst, bytes);
    }

    /// <summary>Makes a node read a weight that is decoded when the model is loaded.</summary>
    /// <returns>Whether the file has codes for it: the transposition of a table that is decoded already needs none.</returns>
    private bool Stored(GraphProto graph, NodeProto node, NodeWeight weight, List<NodeProto> nodes, Func<GraphProto, NodeWeight, List<NodeProto>, string> decode)
    {
        var (home, decoding) = Home(graph, weight.Node.Input[weight.Input], nodes);
        if (Twins.TryGetValue(weight, out var table) && weight.Node.Input[weight.Input] != table.Node.Input[0] && _writer.Decoded(home, table) is { } known)
        {
            node.Input[weight.Input] = _writer.Turned(known, decoding);
            return false;
        }

        var stores = _writer.Decoded(home, weight) is null;
        node.Input[weight.Input] = decode(home, weight with { Node = node }, decoding);
        return stores;
    }

    /// <summary>The graph that holds a weight, and where the nodes that decode it go.</summary>
    private (GraphProto Graph, List<NodeProto> Nodes) Home(GraphProto graph, string weight, List<NodeProto> nodes) =>
        ReferenceEquals(graph, context.Model.Graph) || !_ofMain.Contains(weight) || GraphEdit.Definitions(graph).Contains(weight)
            ? (graph, nodes) : (context.Model.Graph, _front);
}
