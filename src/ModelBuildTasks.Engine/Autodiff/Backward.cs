using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Autodiff;

/// <summary>
/// The way back through a graph: nodes are visited from the loss to the weights, each rule gives its inputs their shares, and the shares
/// of a value that several nodes read are added up when the node that makes it is reached.
/// </summary>
internal sealed class Backward(ShapedGraph graph, GraphBuilder builder, IReadOnlySet<string> wanted)
{
    private readonly Dictionary<string, List<string>> _shares = [];

    /// <summary>Writes the nodes.</summary>
    public GraphBuilder Build => builder;

    /// <summary>The graph on which the way back goes.</summary>
    public ShapedGraph Graph => graph;

    public long[] Shape(string name) => graph.Shape(name);

    /// <summary>Whether an input's gradient is needed.</summary>
    public bool Wants(NodeProto node, int input) => wanted.Contains(node.InputOrEmpty(input)) && GradientRules.Differentiates(node, input);

    /// <summary>Whether a gradient has come to an output.</summary>
    public bool Has(NodeProto node, int output) => output < node.Output.Count && _shares.ContainsKey(node.Output[output]);

    /// <summary>The gradient of an output; zeros for one that the loss does not depend on.</summary>
    public string Of(NodeProto node, int output = 0) => Gradient(node.Output[output]) ?? builder.Zeros(Shape(node.Output[output]));

    /// <summary>The gradient of a value, or null where the loss does not depend on it.</summary>
    public string? Gradient(string name)
    {
        if (!_shares.TryGetValue(name, out var shares))
            return null;
        if (shares.Count > 1)
            _shares[name] = shares = [builder.Sum(shares)];
        return shares[0];
    }

    /// <summary>Gives an input its share of the gradient, in the input's own shape.</summary>
    public void Give(NodeProto node, int input, string gradient) => Give(node.Input[input], gradient);

    /// <summary>Gives a value a share of its gradient.</summary>
    public void Give(string value, string gradient)
    {
        if (!wanted.Contains(value))
            return;
        if (!_shares.TryGetValue(value, out var shares))
            _shares[value] = shares = [];
        shares.Add(gradient);
    }

    /// <summary>Gives an input its share where it wants one; the gradient has the output's shape and is summed over broadcast axes.</summary>
    public void GiveBroadcast(NodeProto node, int input, Func<string> gradient)
    {
        if (Wants(node, input))
            Give(node, input, builder.SumTo(gradient(), Shape(node.Output[0]), Shape(node.Input[input])));
    }

    /// <summary>Walks back over the nodes.</summary>
    public void Run(IReadOnlyList<NodeProto> nodes)
    {
        for (var i = nodes.Count - 1; i >= 0; i--)
        {
            var node = nodes[i];
            if (node.Output.Any(_shares.ContainsKey) && Enumerable.Range(0, node.Input.Count).Any(input => Wants(node, input)))
                GradientRules.Find(node)!.Apply(this, node);
        }
    }
}
