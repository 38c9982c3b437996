using ModelBuildTasks.Engine.Autodiff;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.CleanupSteps;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Passes.DistillationSteps.Blocks;

/// <summary>A model in training form, from which parts can be taken.</summary>
internal sealed class FormedModel
{
    private readonly BlockModel _parts;

    /// <param name="model">The model; it stays as it is.</param>
    /// <param name="ends">The values that become its outputs.</param>
    /// <param name="example">A batch of the size that it is run on.</param>
    /// <param name="constants">Inputs of the same value in every sample.</param>
    public FormedModel(OnnxModel model, IReadOnlyCollection<string> ends, IReadOnlyDictionary<string, Tensor> example, IReadOnlyCollection<string> constants)
    {
        var clone = model.Clone();
        ConstantNodes.Apply(clone);
        foreach (var end in ends.Where(e => clone.Graph.Output.All(o => o.Name != e)))
            clone.Graph.Output.Add(new ValueInfoProto { Name = end });
        var parameters = Parameters.Of(clone);
        var tensors = clone.Graph.Initializer.ToDictionary(t => t.Name);
        Weights = parameters.ToDictionary(p => p, p => clone.ReadFloats(tensors[p]));
        var form = TrainingForm.Of(clone, parameters, example, constants);
        form.Graph.Output.Clear();
        form.Graph.Output.AddRange(ends.Select(e => new ValueInfoProto { Name = e }));
        DeadNodes.Apply(form);
        Graph = ShapeSource.Of(form, example);
        Flow = new(Graph, parameters);
        _parts = new(Graph, Flow);
    }

    /// <summary>The graph; its weights are inputs.</summary>
    public ShapedGraph Graph { get; }

    /// <summary>What its values depend on.</summary>
    public ValueFlow Flow { get; }

    /// <summary>The weights' values, by name; they may be changed.</summary>
    public Dictionary<string, float[]> Weights { get; }

    /// <summary>A model of some values with the weights as they are now.</summary>
    /// <param name="ends">The values.</param>
    /// <param name="isGiven">Which values become inputs; without it only the model's own.</param>
    public OnnxModel Part(IReadOnlyCollection<string> ends, Func<string, bool>? isGiven = null) => _parts.Of(ends, isGiven ?? (_ => false), Weights);

    /// <summary>Computes values of batches; those that are inputs of the model are passed on.</summary>
    public Func<IReadOnlyDictionary<string, Tensor>, IReadOnlyDictionary<string, Tensor>> Values(IReadOnlyCollection<string> names, int threads, List<IDisposable> open)
    {
        List<string> computed = [.. names.Where(n => Graph.Index.Producer(n) is not null)];
        if (computed.Count == 0)
            return batch => batch.Where(b => names.Contains(b.Key)).ToDictionary();
        var part = Part(computed);
        var inputs = part.Graph.Input.Select(i => i.Name).ToHashSet();
        var session = new Session(part, new SessionSettings(threads));
        open.Add(session);
        return batch => session.Run(batch.Where(b => inputs.Contains(b.Key)).ToDictionary(), computed).Concat(batch.Where(b => names.Contains(b.Key))).ToDictionary();
    }
}
