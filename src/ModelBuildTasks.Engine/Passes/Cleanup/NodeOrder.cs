using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.CleanupSteps;

/// <summary>
/// Puts nodes behind what they read, in the main graph and in bodies. The format demands that order and ONNX Runtime does not, so
/// that there are models without it; every step relies on it. What is in order stays as it is.
/// </summary>
internal static class NodeOrder
{
    public static void Apply(OnnxModel model)
    {
        foreach (var graph in model.Graph.WithBodies().ToList())
            Sort(graph);
    }

    private static void Sort(GraphProto graph)
    {
        var producers = new Dictionary<string, int>();
        for (var i = 0; i < graph.Node.Count; i++)
        {
            foreach (var output in graph.Node[i].Output.Where(o => o.Length > 0))
                producers.TryAdd(output, i);
        }

        var waitsFor = new int[graph.Node.Count];
        var readers = new List<int>?[graph.Node.Count];
        var late = false;
        for (var i = 0; i < graph.Node.Count; i++)
        {
            foreach (var name in GraphIndex.Reads(graph.Node[i]).Distinct())
            {
                if (!producers.TryGetValue(name, out var producer))
                    continue;
                late |= producer >= i;
                waitsFor[i]++;
                (readers[producer] ??= []).Add(i);
            }
        }

        if (!late)
            return;
        var ready = new PriorityQueue<int, int>(Enumerable.Range(0, waitsFor.Length).Where(i => waitsFor[i] == 0).Select(i => (i, i)));
        var sorted = new List<NodeProto>();
        while (ready.TryDequeue(out var next, out _))
        {
            sorted.Add(graph.Node[next]);
            foreach (var reader in readers[next] ?? [])
            {
                if (--waitsFor[reader] == 0)
                    ready.Enqueue(reader, reader);
            }
        }

        // A cycle has no order; loading the model says so.
        if (sorted.Count < graph.Node.Count)
            return;
        graph.Node.Clear();
        graph.Node.AddRange(sorted);
    }
}
