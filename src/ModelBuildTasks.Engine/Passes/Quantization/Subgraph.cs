using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.Quantization;

/// <summary>The nodes on all paths between names of a graph.</summary>
internal static class Subgraph
{
    /// <summary>
    /// Nodes that lie behind one of <paramref name="from"/> and in front of one of <paramref name="to"/>, both ends included. A name
    /// is that of a node or of a value: from a value on come its readers, and up to a value its maker. An empty list means no limit.
    /// </summary>
    public static HashSet<NodeProto> Between(GraphIndex index, IReadOnlyCollection<string> from, IReadOnlyCollection<string> to)
    {
        var behind = from.Count == 0 ? null : Reach(
            index.Graph.Node.Where(n => from.Contains(n.Name) || GraphIndex.Reads(n).Any(from.Contains)),
            node => node.Output.Where(o => o.Length > 0).SelectMany(index.Consumers));
        var before = to.Count == 0 ? null : Reach(
            index.Graph.Node.Where(n => to.Contains(n.Name) || n.Output.Any(to.Contains)),
            node => GraphIndex.Reads(node).Select(index.Producer).OfType<NodeProto>());
        if (behind is null)
            return before ?? GraphEdit.Set<NodeProto>();
        if (before is not null)
            behind.IntersectWith(before);
        return behind;
    }

    private static HashSet<NodeProto> Reach(IEnumerable<NodeProto> seeds, Func<NodeProto, IEnumerable<NodeProto>> next)
    {
        var reached = GraphEdit.Set<NodeProto>();
        var waiting = new Stack<NodeProto>(seeds);
        while (waiting.TryPop(out var node))
        {
            if (reached.Add(node))
            {
                foreach (var other in next(node))
                    waiting.Push(other);
            }
        }

        return reached;
    }
}
