using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Autodiff;

/// <summary>
/// Trades time for memory (Chen et al.: Training Deep Nets with Sublinear Memory Cost, 2016): the forward nodes are cut into segments, the values
/// between segments are kept, and what the way back needs from inside a segment is computed again when it gets there.
/// </summary>
/// <remarks>
/// Nothing in an ONNX graph says when a node is to run, and ONNX Runtime merges nodes that compute the same. Each copy therefore reads its segment's
/// kept values through a choice whose condition comes from the gradient that enters the segment: it chooses between the value and itself, but
/// cannot run before that gradient is there, and equals no other node.
/// </remarks>
internal sealed class Recomputation(ShapedGraph graph, GraphBuilder builder, IReadOnlyList<NodeProto> forward, IReadOnlyCollection<string> weights)
{
    /// <summary>Rewrites the backward nodes so that about as many bytes of activations are kept as the budget says, or as few as segments allow.</summary>
    /// <returns>The number of segments; 1 when everything fits.</returns>
    public int Apply(long budget, IReadOnlyList<NodeProto> backward)
    {
        var place = new Dictionary<string, int>();
        for (var i = 0; i < forward.Count; i++)
        {
            foreach (var output in forward[i].Output.Where(o => o.Length > 0))
                place[output] = i;
        }

        var needed = backward.SelectMany(n => n.Input).Where(place.ContainsKey).Distinct().ToList();
        var bytes = needed.Sum(Bytes);
        if (bytes <= budget)
            return 1;
        // With s segments one segment is alive at a time, beside what is kept between segments.
        var segments = (int)Math.Clamp((bytes + budget - 1) / Math.Max(1, budget), 2, Math.Max(2, Math.Sqrt(forward.Count)));
        var segmentOf = Segments(segments, bytes, needed, place);
        var renamed = Enumerable.Range(0, segments).Select(_ => new Dictionary<string, string>()).ToArray();
        // The last segment is needed at once: it is not computed again.
        Redirect(backward, place, segmentOf, segments, renamed);
        return segments;
    }

    /// <summary>The segment of each forward node: equal parts of the bytes that the way back needs.</summary>
    private int[] Segments(int segments, long bytes, List<string> needed, Dictionary<string, int> place)
    {
        var at = new long[forward.Count];
        foreach (var name in needed)
            at[place[name]] += Bytes(name);
        var result = new int[forward.Count];
        long sum = 0;
        for (var i = 0; i < forward.Count; i++)
        {
            result[i] = (int)Math.Min(segments - 1, sum * segments / bytes);
            sum += at[i];
        }

        return result;
    }

    private void Redirect(IReadOnlyList<NodeProto> backward, Dictionary<string, int> place, int[] segmentOf, int segments, Dictionary<string, string>[] renamed)
    {
        var conditions = new string?[segments];
        var nodes = new List<NodeProto>();
        string? latest = null;
        foreach (var node in backward)
        {
            for (var i = 0; i < node.Input.Count; i++)
            {
                if (latest is null || !place.TryGetValue(node.Input[i], out var at) || segmentOf[at] == segments - 1)
                    continue;
                // The gradient that was made last before a segment is first asked for opens it.
                var condition = conditions[segmentOf[at]] ??= Condition(latest, nodes);
                node.Input[i] = Again(node.Input[i], segmentOf[at], condition, place, segmentOf, renamed[segmentOf[at]], nodes);
            }

            nodes.Add(node);
            if (node.OpType is "ConvTranspose" or "Conv" or "MatMul" or "Gemm" or "Div")
                latest = node.Output[0];
        }

        Nodes = nodes;
    }

    /// <summary>The backward nodes with the copies between them.</summary>
    public IReadOnlyList<NodeProto> Nodes { get; private set; } = [];

    /// <summary>A truth value that is known when a gradient is: whether its first value is a number.</summary>
    private string Condition(string gradient, List<NodeProto> nodes)
    {
        var first = builder.Nodes.Count;
        var flat = builder.Reshape(gradient, -1);
        var condition = builder.Op("IsNaN", builder.Slice(flat, [0], [0], [1]));
        Take(first, nodes);
        return condition;
    }

    private string Again(string name, int segment, string condition, Dictionary<string, int> place, int[] segmentOf, Dictionary<string, string> renamed, List<NodeProto> nodes)
    {
        if (renamed.TryGetValue(name, out var known))
            return known;
        // What it takes, found without recursion: an unrolled network is thousands of nodes deep.
        var taken = new SortedSet<int>();
        var open = new Stack<int>([place[name]]);
        while (open.TryPop(out var at))
        {
            if (!taken.Add(at))
                continue;
            foreach (var input in forward[at].Input.Where(i => !renamed.ContainsKey(i) && place.TryGetValue(i, out var from) && segmentOf[from] == segment))
                open.Push(place[input]);
        }

        foreach (var at in taken)
        {
            var copy = forward[at].Clone();
            copy.Name = "";
            for (var i = 0; i < copy.Input.Count; i++)
                copy.Input[i] = renamed.GetValueOrDefault(copy.Input[i]) ?? Gated(copy.Input[i], condition, renamed, nodes);
            for (var i = 0; i < copy.Output.Count; i++)
            {
                if (copy.Output[i].Length > 0)
                    copy.Output[i] = renamed[forward[at].Output[i]] = builder.Name($"again:{forward[at].Output[i]}");
            }

            nodes.Add(copy);
        }

        return renamed[name];
    }

    /// <summary>A value that was kept, behind the choice; constants and weights as they are.</summary>
    private string Gated(string name, string condition, Dictionary<string, string> renamed, List<NodeProto> nodes)
    {
        if (!graph.IsFloat(name) || graph.Index.Constant(name) is not null || weights.Contains(name))
            return name;
        var first = builder.Nodes.Count;
        var gated = builder.Op("Where", condition, name, name);
        Take(first, nodes);
        return renamed[name] = gated;
    }

    private void Take(int first, List<NodeProto> nodes)
    {
        nodes.AddRange(builder.Nodes.Skip(first));
        builder.Nodes.RemoveRange(first, builder.Nodes.Count - first);
    }

    private long Bytes(string name) => graph.IsFloat(name) && graph.IsShaped(name) ? ElementTypes.ByteLength(DataType.Float, ElementTypes.Count(graph.Shape(name))) : 0;
}
