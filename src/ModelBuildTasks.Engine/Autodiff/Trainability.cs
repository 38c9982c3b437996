using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Autodiff;

/// <summary>Whether a weight of a model can be trained.</summary>
/// <param name="Weight">The weight's name.</param>
/// <param name="Dims">Its dimensions.</param>
/// <param name="Reason">Why it cannot be; null where it can.</param>
internal sealed record Trainability(string Weight, IReadOnlyList<long> Dims, string? Reason)
{
    /// <summary>
    /// Every float32 weight of the main graph, in the model's order, that <paramref name="values"/> depend on: those can be trained from which each
    /// way to the values goes through operators with gradient rules.
    /// </summary>
    /// <param name="model">The model.</param>
    /// <param name="values">The values that the loss is taken of.</param>
    /// <param name="sample">A batch as will be trained on.</param>
    /// <param name="constants">Inputs whose value is the same in every step.</param>
    public static IReadOnlyList<Trainability> Of(OnnxModel model, IReadOnlyCollection<string> values, IReadOnlyDictionary<string, Tensor> sample, IReadOnlyCollection<string> constants)
    {
        // All weights are free at first, so that nothing of them is folded away.
        var clone = model.Clone();
        Passes.CleanupSteps.ConstantNodes.Apply(clone);
        foreach (var value in values.Where(v => clone.Graph.Output.All(o => o.Name != v)))
            clone.Graph.Output.Add(new ValueInfoProto { Name = value });
        var weights = clone.Graph.Initializer.Where(t => (DataType)t.DataType == DataType.Float && t.Dims.Count > 0 && t.Dims.All(d => d > 0)).ToList();
        var fixedForm = TrainingForm.Of(clone, [], sample, constants);
        var graph = ShapeSource.Of(fixedForm, sample);
        var blocked = Blocked(graph, values);
        return
        [
            .. fixedForm.Graph.Initializer.Where(t => (DataType)t.DataType == DataType.Float && t.Dims.Count > 0 && blocked.ContainsKey(t.Name))
                .Where(t => weights.Exists(w => w.Name == t.Name))
                .Select(t => new Trainability(t.Name, [.. t.Dims], blocked[t.Name])),
        ];
    }

    /// <summary>For each value that <paramref name="values"/> depend on: what stands between, or null.</summary>
    private static Dictionary<string, string?> Blocked(ShapedGraph graph, IReadOnlyCollection<string> values)
    {
        var known = values.ToDictionary(v => v, _ => (string?)null);
        foreach (var node in graph.Model.Graph.Node.Reverse())
        {
            var reached = node.Output.Where(known.ContainsKey).ToList();
            if (reached.Count == 0)
                continue;
            var reason = GradientRules.WhyNot(graph, node) is { } why ? $"{node.OpType} '{node.DisplayName()}': {why}" : reached.Select(o => known[o]).FirstOrDefault(r => r is not null);
            foreach (var name in GradientFlow.GradientInputs(graph, node).Select(i => node.Input[i]).Concat(GradientFlow.Captures(graph, node)))
                known[name] = known.GetValueOrDefault(name) ?? reason;
        }

        return known;
    }
}
