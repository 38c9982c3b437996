using ModelBuildTasks.Engine.Autodiff.Losses;
using ModelBuildTasks.Engine.Autodiff.Lowering;
using ModelBuildTasks.Engine.Autodiff.Ordering;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Onnx;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Autodiff;

/// <summary>What a step of training runs.</summary>
/// <param name="Model">Inputs: the model's own, the weights, and the loss's targets. Outputs: the loss, its terms, and one gradient for each weight.</param>
/// <param name="Loss">The output that holds the loss, a scalar.</param>
/// <param name="Terms">The outputs that hold the terms of the loss, without their weights.</param>
/// <param name="Targets">For each term the input that its target is given as.</param>
/// <param name="Outputs">The gradient output of each weight, in the order asked for. A weight that the loss does not depend on is not there.</param>
internal sealed record GradientGraph(OnnxModel Model, string Loss, IReadOnlyList<string> Terms, IReadOnlyList<string> Targets, IReadOnlyDictionary<string, string> Outputs)
{
    /// <summary>The classes that labels are of; 0 without labels.</summary>
    public long Classes { get; init; }
}

/// <summary>What is differentiated, and how.</summary>
/// <param name="Weights">The weights that get gradients: float32 initializers of the model's main graph. They become inputs.</param>
/// <param name="Loss">The terms of the loss.</param>
/// <param name="Sample">A batch as the steps will be given: its shapes are fixed in the graph.</param>
internal sealed record GradientRequest(IReadOnlyList<string> Weights, IReadOnlyList<LossTerm> Loss, IReadOnlyDictionary<string, Tensor> Sample)
{
    /// <summary>Inputs whose value is the same in every step; they are taken from the sample and are no inputs of the graph.</summary>
    public IReadOnlyCollection<string> Constants { get; init; } = [];

    /// <summary>Values of the model that are outputs of the graph, too.</summary>
    public IReadOnlyCollection<string> Kept { get; init; } = [];

    /// <summary>Bytes of activations that may be kept for the way back; what is beyond is computed again, a segment of the graph at a time. Null keeps all.</summary>
    public long? ActivationBudget { get; init; }
}

/// <summary>Reverse-mode differentiation: from the graph of a model to the graph of its gradients, both of standard operators.</summary>
internal static class Gradients
{
    /// <summary>Builds the graph that gives a loss and its gradients.</summary>
    /// <param name="model">The model; it stays as it is.</param>
    /// <param name="request">What to differentiate.</param>
    /// <exception cref="ModelBuildException">MBT2040: an operator between a weight and the loss has no rule. MBT2041: a weight cannot be trained. MBT2042: a shape depends on data. MBT2043: the opset is too old.</exception>
    public static GradientGraph Build(OnnxModel model, GradientRequest request)
    {
        var form = TrainingForm.Of(model, request.Weights, request.Sample, request.Constants);
        var graph = Prepare(form, request, out var written, out var names);
        var flow = GradientFlow.Of(graph, request.Weights, written.Loss);
        Refuse(graph, flow);

        var forward = form.Graph.Node.ToList();
        var builder = new GraphBuilder(form, names);
        var backward = new Backward(graph, builder, flow.Wanted);
        backward.Give(written.Loss, builder.Scalar(1));
        backward.Run(forward);

        var outputs = new Dictionary<string, string>();
        form.Graph.Output.Clear();
        foreach (var value in written.Terms.Prepend(written.Loss).Concat(request.Kept).Distinct())
            form.Graph.Output.Add(new ValueInfoProto { Name = value });
        foreach (var weight in request.Weights)
        {
            if (backward.Gradient(weight) is not { } gradient)
                continue;
            var name = builder.Name($"gradient:{weight}");
            builder.Node("Identity", [gradient], [name]);
            form.Graph.Output.Add(new ValueInfoProto { Name = name });
            outputs[weight] = name;
        }

        form.Graph.Node.AddRange(Kept(graph, builder, forward, request));
        Passes.CleanupSteps.DeadNodes.Apply(form);
        SumOrder.Apply(form, request.Sample, builder);
        UnusedInitializers.Remove(form.Graph);
        form.Proto.Functions.Clear();
        return new(form, written.Loss, written.Terms, written.Targets, outputs) { Classes = written.Classes };
    }

    /// <summary>The nodes of the way back, with copies of forward nodes between them where activations do not fit into the budget.</summary>
    private static IReadOnlyList<NodeProto> Kept(ShapedGraph graph, GraphBuilder builder, IReadOnlyList<NodeProto> forward, GradientRequest request)
    {
        if (request.ActivationBudget is not { } budget)
            return builder.Nodes;
        var backward = builder.Nodes.ToList();
        builder.Nodes.Clear();
        var recomputation = new Recomputation(graph, builder, forward, request.Weights);
        return recomputation.Apply(budget, backward) == 1 ? backward : recomputation.Nodes;
    }

    /// <summary>Takes apart what has no rule but parts that have, and writes the loss; gives the graph with all shapes.</summary>
    private static ShapedGraph Prepare(OnnxModel form, GradientRequest request, out LossGraph.Written written, out NameAllocator names)
    {
        foreach (var value in request.Loss.Select(t => t.Value).Where(v => form.Graph.Output.All(o => o.Name != v)))
            form.Graph.Output.Add(new ValueInfoProto { Name = value });
        names = new NameAllocator(form);
        var graph = Shapes(form, request.Sample);
        if (request.Loss.FirstOrDefault(t => !graph.IsFloat(t.Value)) is { } term)
            throw new ModelBuildException(DiagnosticCodes.NotTrainable, $"no loss can be taken of '{term.Value}': it is no float32 value of the model");
        CeilWindows.Apply(graph);
        if (Lowerings.Apply(graph, request.Weights, names))
            graph = Shapes(form, request.Sample);
        var builder = new GraphBuilder(form, names);
        written = LossGraph.Write(graph, builder, request.Loss);
        form.Graph.Node.AddRange(builder.Nodes);
        form.Graph.Output.Clear();
        form.Graph.Output.Add(new ValueInfoProto { Name = written.Loss });
        form.Graph.Output.AddRange(request.Kept.Select(k => new ValueInfoProto { Name = k }));
        Passes.CleanupSteps.DeadNodes.Apply(form);
        return Shapes(form, request.Sample);
    }

    private static ShapedGraph Shapes(OnnxModel form, IReadOnlyDictionary<string, Tensor> sample) => ShapeSource.Of(form, sample);

    private static void Refuse(ShapedGraph graph, GradientFlow flow)
    {
        if (flow.Blocked.Count == 0)
            return;
        var parts = flow.Blocked.Take(5).Select(n => $"{n.OpType} '{n.DisplayName()}' ({GradientRules.WhyNot(graph, n)})");
        var more = flow.Blocked.Count > 5 ? $" and {flow.Blocked.Count - 5} more" : "";
        throw new ModelBuildException(DiagnosticCodes.NoGradientRule, $"the weights cannot be trained through {string.Join(", ", parts)}{more}; freeze the weights before it, or take the loss before it");
    }
}
