using ModelBuildTasks.Engine.Autodiff;
using ModelBuildTasks.Engine.Autodiff.Losses;
using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Passes.DistillationSteps.Streams;

/// <summary>
/// A streaming model, some steps one behind the other in one graph: what a step gives back is read by the next. Weights and constants are the same in all
/// steps, so that the gradient of this graph is that of backpropagation through time (Werbos 1990), cut off at its beginning (Williams and Peng 1990).
/// </summary>
internal sealed class Unrolled
{
    private readonly IReadOnlyDictionary<string, string> _feedback;
    private readonly HashSet<string> _common;
    private readonly string _separator;

    /// <param name="student">The model of one step; it stays as it is.</param>
    /// <param name="feedback">Outputs by the inputs that they are fed back to.</param>
    /// <param name="weights">The weights that are trained.</param>
    /// <param name="terms">What one step's answers are compared by.</param>
    /// <param name="sample">One step's inputs.</param>
    /// <param name="constants">Inputs that have the same value in every step.</param>
    /// <param name="window">Steps.</param>
    public Unrolled(
        OnnxModel student, IReadOnlyDictionary<string, string> feedback, IReadOnlyList<string> weights, IReadOnlyList<LossTerm> terms, IReadOnlyDictionary<string, Tensor> sample,
        IReadOnlyCollection<string> constants, int window)
    {
        (_feedback, Window) = (feedback, window);
        // With all shapes fixed and decided branches in their place the steps are small; values that are compared must outlast that.
        var seen = student.Clone();
        foreach (var value in terms.Select(t => t.Value).Distinct().Where(v => seen.Graph.Output.All(o => o.Name != v)).ToList())
            seen.Graph.Output.Add(new ValueInfoProto { Name = value });
        var step = TrainingForm.Of(seen, weights, sample, constants);
        _common = [.. step.Graph.Initializer.Select(t => t.Name), .. step.Graph.SparseInitializer.Select(t => t.Values.Name), .. weights];
        _separator = "@";
        while (_common.Any(c => c.Contains(_separator, StringComparison.Ordinal)))
            _separator += "@";
        Model = step.Clone();
        var graph = Model.Graph;
        graph.Node.Clear();
        graph.Output.Clear();
        graph.Input.Clear();
        graph.ValueInfo.Clear();
        var trained = student.Graph.Initializer.ToDictionary(t => t.Name);
        foreach (var weight in weights)
            graph.Initializer.Add(Model.CreateTensor(weight, trained[weight].Dims, student.ReadFloats(trained[weight])));
        for (var k = 0; k < window; k++)
        {
            foreach (var input in step.Graph.Input.Where(i => !_common.Contains(i.Name) && (k == 0 || !feedback.ContainsKey(i.Name))))
            {
                var copy = input.Clone();
                copy.Name = Name(input.Name, k);
                graph.Input.Add(copy);
            }

            foreach (var node in step.Graph.Node)
            {
                var copy = node.Clone();
                Rename(copy, n => Name(n, k), $"{_separator}{k}");
                graph.Node.Add(copy);
            }
        }

        Terms = [.. Enumerable.Range(0, window).SelectMany(k => terms.Select(t => t with { Value = Name(t.Value, k), Reference = t.Reference ?? t.Value, Weight = t.Weight / window }))];
        foreach (var name in Terms.Select(t => t.Value).Concat(States.Values).Distinct())
            graph.Output.Add(new ValueInfoProto { Name = name });
    }

    /// <summary>The steps in one graph.</summary>
    public OnnxModel Model { get; }

    /// <summary>Number of steps.</summary>
    public int Window { get; }

    /// <summary>The terms of all steps, those of the first step first; together they are the mean of the steps.</summary>
    public IReadOnlyList<LossTerm> Terms { get; }

    /// <summary>What the last step gives back, by the inputs of the first that it goes to.</summary>
    public IReadOnlyDictionary<string, string> States => _feedback.ToDictionary(f => f.Key, f => Name(f.Value, Window - 1));

    /// <summary>The name of a step's value.</summary>
    public string Name(string value, int step) => value.Length == 0 || _common.Contains(value) ? value
        : !_feedback.TryGetValue(value, out var output) ? $"{value}{_separator}{step}"
        : step == 0 ? value : Name(output, step - 1);

    /// <summary>The inputs of a window.</summary>
    /// <param name="steps">The inputs of each step.</param>
    /// <param name="states">What is fed back to the first of them.</param>
    public Dictionary<string, Tensor> Inputs(IReadOnlyList<IReadOnlyDictionary<string, Tensor>> steps, IReadOnlyDictionary<string, Tensor> states)
    {
        var known = Model.Graph.Input.Select(i => i.Name).ToHashSet();
        var inputs = states.ToDictionary();
        for (var k = 0; k < steps.Count; k++)
        {
            foreach (var (name, tensor) in steps[k].Where(s => !_feedback.ContainsKey(s.Key) && known.Contains(Name(s.Key, k))))
                inputs[Name(name, k)] = tensor;
        }

        return inputs;
    }

    private static void Rename(NodeProto node, Func<string, string> name, string suffix)
    {
        // Two nodes of one name are refused by ONNX Runtime.
        node.Name = node.Name.Length == 0 ? "" : node.Name + suffix;
        for (var i = 0; i < node.Input.Count; i++)
            node.Input[i] = name(node.Input[i]);
        for (var i = 0; i < node.Output.Count; i++)
            node.Output[i] = name(node.Output[i]);
        foreach (var body in node.Bodies())
        {
            // What a body defines is its own; it reads what is around it under the names of its step.
            var own = GraphEdit.Definitions(body);
            foreach (var inner in body.Node)
                Rename(inner, n => own.Contains(n) ? n : name(n), suffix);
            foreach (var output in body.Output)
                output.Name = own.Contains(output.Name) ? output.Name : name(output.Name);
        }
    }
}
