using ModelBuildTasks.Engine.Autodiff;
using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.DistillationSteps.Blocks;

/// <summary>Models that compute some values of a graph in training form.</summary>
/// <param name="graph">The graph; its weights are inputs.</param>
/// <param name="flow">What its values depend on.</param>
internal sealed class BlockModel(ShapedGraph graph, ValueFlow flow)
{
    /// <summary>A model of some values, from other values on.</summary>
    /// <param name="ends">The values: its outputs.</param>
    /// <param name="isGiven">Of values that depend on the sample: whether it becomes an input.</param>
    /// <param name="weights">Values of the weights, which become initializers.</param>
    public OnnxModel Of(IReadOnlyCollection<string> ends, Func<string, bool> isGiven, IReadOnlyDictionary<string, float[]> weights)
    {
        var model = graph.Model.Clone();
        var given = new HashSet<string>();
        var needed = new HashSet<string>(ends);
        var nodes = new List<NodeProto>();
        foreach (var node in model.Graph.Node.Reverse())
        {
            var made = node.Output.Where(needed.Contains).ToList();
            if (made.TrueForAll(o => !ends.Contains(o) && flow.IsFed(o) && isGiven(o)))
            {
                given.UnionWith(made);
                continue;
            }

            nodes.Add(node);
            needed.UnionWith(GraphIndex.Reads(node));
        }

        nodes.Reverse();
        given.UnionWith(model.Graph.Input.Select(i => i.Name).Where(i => flow.IsFed(i) && needed.Contains(i)));
        model.Graph.Node.Clear();
        model.Graph.Node.AddRange(nodes);
        model.Graph.Input.Clear();
        model.Graph.Input.AddRange(given.Select(g => new ValueInfoProto { Name = g, Type = TrainingForm.TypeOf(graph.Type(g), graph.Shape(g)) }));
        model.Graph.Output.Clear();
        model.Graph.Output.AddRange(ends.Select(e => new ValueInfoProto { Name = e }));
        foreach (var (name, values) in weights.Where(w => needed.Contains(w.Key)))
            model.Graph.Initializer.Add(model.CreateTensor(name, graph.Shape(name), values));
        UnusedInitializers.Remove(model.Graph);
        return model;
    }
}
