using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Quantization.Search;

namespace ModelBuildTasks.Engine.Passes.Pruning.Structured.Selection;

/// <summary>What a model costs.</summary>
/// <param name="Parameters">Float elements of its constants.</param>
/// <param name="Bytes">Bytes of all its constants as they are stored.</param>
/// <param name="Macs">Multiply-accumulates of the main graph for one run on the sample; 0 where shapes are unknown.</param>
/// <param name="Nanoseconds">Time of a run by the runtime's cost table; 0 where it has none.</param>
internal sealed record ModelCost(long Parameters, long Bytes, long Macs, double Nanoseconds)
{
    /// <summary>Counts a model.</summary>
    /// <param name="model">The model.</param>
    /// <param name="runtime">Whose cost table predicts time.</param>
    /// <param name="shapes">Shapes of its values, see <see cref="ValueTypes"/>.</param>
    public static ModelCost Of(OnnxModel model, RuntimePolicy runtime, IReadOnlyDictionary<string, ValueDescription> shapes)
    {
        long parameters = 0, bytes = 0;
        foreach (var tensor in Constants(model))
        {
            bytes += model.ByteLength(tensor);
            if (ElementTypes.IsFloat((TensorProto.Types.DataType)tensor.DataType))
                parameters += ElementTypes.Count(tensor.Dims);
        }

        var macs = model.Graph.Node.Sum(n => NodeWork.Macs(n, shapes));
        var latency = runtime.Costs.Kernels.Count == 0 ? 0
            : new LatencyModel(new GraphIndex(model, model.Graph), runtime.Costs, shapes).Predict(null, new HashSet<NodeProto>(ReferenceEqualityComparer.Instance));
        return new(parameters, bytes, macs, latency);
    }

    /// <summary>Shapes of all values for one sample: of the calibration data, else of random inputs, else as far as they are inferred.</summary>
    public static IReadOnlyDictionary<string, ValueDescription> Shapes(OnnxModel model, PassContext context)
    {
        if (Sample(model, context) is { } sample)
        {
            try
            {
                return ValueTypes.Observe(model, sample);
            }
            catch (Exception e) when (e is Microsoft.ML.OnnxRuntime.OnnxRuntimeException or InvalidOperationException && context.Calibration is null)
            {
                // Random inputs need not fit what a model does with them.
            }
        }

        return ValueTypes.Infer(model);
    }

    private static IReadOnlyDictionary<string, Tensor>? Sample(OnnxModel model, PassContext context)
    {
        if (context.Calibration is { } data)
            return data.Batches().First().Inputs;
        var constants = model.Graph.Initializer.Select(i => i.Name).ToHashSet();
        var inputs = model.Graph.Input.Where(i => !constants.Contains(i.Name)).Select(ValueTypes.Describe).ToList();
        return inputs.Any(i => i is null) ? null : DatasetFactory.Random([.. inputs.OfType<ValueDescription>()]).Batches().First().Inputs;
    }

    private static IEnumerable<TensorProto> Constants(OnnxModel model) => model.Graph.WithBodies()
        .SelectMany(g => g.Initializer.Concat(g.Node.Where(n => n.Is("Constant")).SelectMany(n => n.Attribute).Where(a => a.T is not null).Select(a => a.T)));
}
