using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.CleanupSteps;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Autodiff;

/// <summary>Finds the shapes of a graph in training form.</summary>
internal static class ShapeSource
{
    /// <summary>By inference; where that does not know a shape, by a run on the sample.</summary>
    public static ShapedGraph Of(OnnxModel form, IReadOnlyDictionary<string, Tensor> sample)
    {
        var inferred = new InferredTypes(form);
        var types = new Dictionary<string, ValueDescription>();
        // With ceil_mode, inference and ONNX Runtime's kernels do not always agree on whether there is a last window.
        var open = form.Graph.Node.Any(n => n.Int("ceil_mode") != 0);
        foreach (var name in form.Graph.Input.Select(i => i.Name).Concat(form.Graph.Initializer.Select(i => i.Name)).Concat(form.Graph.Node.SelectMany(n => n.Output)).Where(n => n.Length > 0))
        {
            if (inferred.Type(name) is not { } type)
            {
                open = true;
                continue;
            }

            var shape = inferred.Shape(name);
            open |= type == DataType.Float && (shape is null || shape.Any(d => d < 0));
            types[name] = new(name, type, shape);
        }

        if (open)
        {
            foreach (var (name, seen) in ValueTypes.Observe(form, Inputs(form, sample)))
                types[name] = seen;
        }

        return new(form, types);
    }

    /// <summary>The sample, and zeros for the inputs that are not in it: weights and targets.</summary>
    private static Dictionary<string, Tensor> Inputs(OnnxModel form, IReadOnlyDictionary<string, Tensor> sample) =>
        form.Graph.Input.ToDictionary(i => i.Name, i => sample.TryGetValue(i.Name, out var given) ? given : Zeros(ValueTypes.Describe(i)!));

    private static Tensor Zeros(ValueDescription value) =>
        new(value.Type, value.Shape!, new byte[ElementTypes.ByteLength(value.Type, ElementTypes.Count(value.Shape!))]);
}
