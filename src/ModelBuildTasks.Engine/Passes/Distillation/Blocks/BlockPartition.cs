using ModelBuildTasks.Engine.Autodiff;
using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.DistillationSteps.Blocks;

/// <summary>
/// Finds the blocks of a graph, from the graph alone. It is cut at values that carry everything that flows on, so that what lies between two cuts, such
/// as a residual block, stays whole (Li et al.: BRECQ, 2021: errors of layers that act on each other are made up for together, those of others are
/// not). Parts without branches are put together up to a few layers. A part of many layers without a cut, as in a network whose ends are linked, is
/// trained layer by layer.
/// </summary>
internal sealed class BlockPartition
{
    // Layers of a residual block at most, an attention among them; what has more and no cut has its layers linked across.
    private const int LargestUncut = 8;

    // A part that branches takes a layer or two in front of it along.
    private const int Largest = 4;

    // Layers after another without a branch.
    private const int Chain = 3;

    private readonly ShapedGraph _graph;
    private readonly ValueFlow _flow;
    private readonly Func<string, bool> _comparable;
    private readonly HashSet<string> _matrices;

    private BlockPartition(ShapedGraph graph, ValueFlow flow, IReadOnlyCollection<string> weights, Func<string, bool> comparable)
    {
        (_graph, _flow, _comparable) = (graph, flow, comparable);
        _matrices = [.. weights.Where(w => graph.Shape(w).Length > 1)];
    }

    /// <summary>The blocks, from the inputs on.</summary>
    /// <param name="graph">A graph in training form, whose outputs are what the loss is taken of and whose weights are inputs.</param>
    /// <param name="flow">What its values depend on.</param>
    /// <param name="weights">Names of its weights.</param>
    /// <param name="comparable">Whether the teacher has such a value.</param>
    public static IReadOnlyList<Block> Of(ShapedGraph graph, ValueFlow flow, IReadOnlyCollection<string> weights, Func<string, bool> comparable)
    {
        var partition = new BlockPartition(graph, flow, weights, comparable);
        List<Block> blocks = [.. partition.Merged(partition.Parts())];
        var whole = blocks.Count == 1;
        return [.. blocks.SelectMany(b => whole || partition.Layers(b.Nodes) > LargestUncut ? partition.ByLayer(b) : [b])];
    }

    private sealed record Part(List<NodeProto> Nodes, IReadOnlyList<string> Ends, bool Branches);

    /// <summary>The parts between cuts.</summary>
    private List<Part> Parts()
    {
        var graph = _graph.Model.Graph;
        var ends = graph.Output.Select(o => o.Name).ToHashSet();
        var (open, parts, nodes, branches) = (new Dictionary<string, int>(), new List<Part>(), new List<NodeProto>(), false);
        foreach (var node in graph.Node.Where(n => n.Output.Any(_flow.IsActivation)))
        {
            nodes.Add(node);
            foreach (var read in GraphIndex.Reads(node).Distinct().Where(open.ContainsKey))
            {
                if (--open[read] == 0)
                    open.Remove(read);
            }

            foreach (var output in node.Output.Where(_flow.IsActivation))
            {
                var readers = _graph.Index.Consumers(output).Count + (ends.Contains(output) ? 1 : 0);
                if (readers > 0)
                    open[output] = readers;
            }

            branches |= open.Count > 1;
            if (open.Count != 1 || open.Keys.Single() is not { } cut || ends.Contains(cut) || !_graph.IsFloat(cut) || !_comparable(cut))
                continue;
            parts.Add(new(nodes, [cut], branches || nodes.Count(n => IsLayer(n)) > 1));
            (nodes, branches) = ([], false);
        }

        if (nodes.Count > 0)
            parts.Add(new(nodes, [.. graph.Output.Select(o => o.Name)], branches));
        return parts;
    }

    /// <summary>Parts put together. A block ends where the next layer begins, so that activations and pooling behind its last layer are its own.</summary>
    private IEnumerable<Block> Merged(IReadOnlyList<Part> parts)
    {
        var (nodes, ends, full) = (new List<NodeProto>(), (IReadOnlyList<string>)[], false);
        foreach (var part in parts)
        {
            var (before, more) = (Layers(nodes), Layers(part.Nodes));
            if (before > 0 && more > 0 && (full || before + more > Largest))
            {
                yield return new(nodes, ends);
                (nodes, full, before) = ([], false, 0);
            }

            nodes.AddRange(part.Nodes);
            ends = part.Ends;
            full |= before + more >= Chain || (more > 0 && part.Branches);
        }

        if (nodes.Count > 0)
            yield return new(nodes, ends);
    }

    /// <summary>A block for each layer: what reads a matrix of weights, with what follows it alone.</summary>
    private IEnumerable<Block> ByLayer(Block block)
    {
        var taken = GraphEdit.Set<NodeProto>();
        foreach (var node in block.Nodes.Where(IsLayer))
        {
            if (taken.Contains(node) || node.Output.Count(o => o.Length > 0) != 1)
                continue;
            var (layer, end) = (new List<NodeProto> { node }, (Nodes: 0, Value: ""));
            for (var value = node.Output[0]; ;)
            {
                if (_graph.IsFloat(value) && (_comparable(value) || block.Ends.Contains(value)))
                    end = (layer.Count, value);
                if (block.Ends.Contains(value) || _graph.Index.Consumers(value) is not [var next] || !block.Nodes.Contains(next) || IsLayer(next) || next.Output.Count != 1
                    || GraphIndex.Reads(next).Any(r => r != value && _flow.IsFed(r)))
                    break;
                layer.Add(next);
                value = next.Output[0];
            }

            if (end.Nodes == 0)
                continue;
            taken.UnionWith(layer.Take(end.Nodes));
            yield return new([.. layer.Take(end.Nodes)], [end.Value]);
        }
    }

    private bool IsLayer(NodeProto node) => _flow.Weights(node).Any(_matrices.Contains);

    private int Layers(IEnumerable<NodeProto> nodes) => nodes.SelectMany(_flow.Weights).Where(_matrices.Contains).Distinct().Count();
}
