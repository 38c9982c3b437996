using Microsoft.ML.OnnxRuntime;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Execution;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Onnx;

/// <summary>Element types and shapes of the values of a model, from ONNX Runtime's own inference or from a run.</summary>
internal static class ValueTypes
{
    /// <summary>
    /// What is known of each value without a run: ONNX Runtime loads the model without its weights and without optimizing it,
    /// and writes down what it inferred. Where it refuses the model, this is what the model says of itself.
    /// </summary>
    /// <returns>
    /// Tensors by name: inputs, outputs, initializers and intermediate values of the main graph, and of bodies where the name
    /// is not taken. What has no known element type is left out.
    /// </returns>
    public static IReadOnlyDictionary<string, ValueDescription> Infer(OnnxModel model)
    {
        var declared = Collect(model.Graph);
        var folder = Directory.CreateTempSubdirectory("mbt-types-").FullName;
        try
        {
            var path = Path.Combine(folder, "inferred.onnx");
            using (new Session(InferenceModel.Of(model).ToBytes(), new SessionSettings(Optimize: false) { OptimizedModelPath = path }))
            using (var inferred = OnnxModel.Load(path))
            {
                // Only what the model has; not what was added on the way to inference.
                var known = Collect(inferred.Graph);
                foreach (var name in declared.Keys.Concat(Made(model.Graph)).Where(known.ContainsKey))
                {
                    if (known[name].Shape is not null || declared.GetValueOrDefault(name)?.Shape is null)
                        declared[name] = known[name];
                }
            }
        }
        catch (OnnxRuntimeException)
        {
            // The model's own word has to do.
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }

        return declared;
    }

    /// <summary>
    /// The exact type and shape of each value for one set of inputs, from a run without optimizations in which every value
    /// of the main graph is an output.
    /// </summary>
    /// <returns>Tensors by name, initializers included; sequences, strings and values that the run left empty are left out.</returns>
    /// <exception cref="OnnxRuntimeException">ONNX Runtime refuses the model, or the inputs do not fit it.</exception>
    public static IReadOnlyDictionary<string, ValueDescription> Observe(OnnxModel model, IReadOnlyDictionary<string, Tensor> inputs)
    {
        var types = new Dictionary<string, ValueDescription>();
        foreach (var initializer in model.Graph.Initializer)
            types[initializer.Name] = Describe(initializer);
        foreach (var (name, tensor) in inputs)
            types[name] = new(name, tensor.Type, tensor.Shape);

        var observed = model.Clone();
        var outputs = observed.Graph.Output.Select(o => o.Name).ToHashSet();
        foreach (var name in observed.Graph.Node.SelectMany(n => n.Output).Where(n => n.Length > 0 && outputs.Add(n)))
            observed.Graph.Output.Add(new ValueInfoProto { Name = name });
        var folder = Directory.CreateTempSubdirectory("mbt-types-").FullName;
        try
        {
            var path = Path.Combine(folder, "observed.onnx");
            observed.Save(path);
            using var session = new Session(path, new SessionSettings(Optimize: false));
            session.Run(inputs, [.. observed.Graph.Output.Select(o => o.Name)], (name, type, shape, _) => types[name] = new(name, type, shape));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }

        return types;
    }

    /// <summary>The element type and shape that a model declares for one of its values; null for other than a tensor.</summary>
    internal static ValueDescription? Describe(ValueInfoProto value)
    {
        if (value.Type?.TensorType is not { ElemType: not 0 } tensor)
            return null;
        var shape = tensor.Shape?.Dim.Select(d => d.HasDimValue && d.DimValue >= 0 ? d.DimValue : -1).ToArray();
        return new(value.Name, (DataType)tensor.ElemType, shape);
    }

    private static ValueDescription Describe(TensorProto tensor) => new(tensor.Name, (DataType)tensor.DataType, [.. tensor.Dims]);

    private static IEnumerable<string> Made(GraphProto graph) => graph.WithBodies().SelectMany(g => g.Node).SelectMany(n => n.Output);

    /// <summary>Everything that a model declares, the main graph first.</summary>
    private static Dictionary<string, ValueDescription> Collect(GraphProto graph)
    {
        var types = Declared(graph);
        // Sibling bodies may use one name for different values; such a name says nothing.
        var bodies = graph.WithBodies().Skip(1).SelectMany(Declared).GroupBy(t => t.Key, t => t.Value);
        foreach (var values in bodies.Where(b => b.Count() == 1))
            types.TryAdd(values.Key, values.First());
        return types;
    }

    private static Dictionary<string, ValueDescription> Declared(GraphProto graph)
    {
        var types = new Dictionary<string, ValueDescription>();
        foreach (var value in graph.ValueInfo.Concat(graph.Output).Concat(graph.Input))
        {
            // A rank that is known is not given up for a declaration without one.
            if (Describe(value) is { } described && (described.Shape is not null || !types.ContainsKey(value.Name)))
                types[value.Name] = described;
        }

        foreach (var initializer in graph.Initializer)
            types[initializer.Name] = Describe(initializer);
        return types;
    }
}
