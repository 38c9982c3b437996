using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.Quantization;

/// <summary>The way back from <see cref="WideArithmetic"/> for passes that change weights and nothing else: their float16 model with the weights that the wide one got.</summary>
internal static class NarrowArithmetic
{
    /// <summary>A copy of the float16 model with new weights.</summary>
    /// <param name="half">The float16 model.</param>
    /// <param name="wide">What <see cref="WideArithmetic"/> made of it.</param>
    /// <param name="changed">The same with other weights; a node may read a weight of another name than it did.</param>
    public static OnnxModel Apply(OnnxModel half, OnnxModel wide, OnnxModel changed)
    {
        var clone = half.Clone();
        // Inputs are cast first.
        var known = half.Graph.Initializer.Select(t => t.Name).ToHashSet();
        var first = half.Graph.Input.Count(i => (DataType?)i.Type?.TensorType?.ElemType == DataType.Float16 && !known.Contains(i.Name));
        foreach (var ((mine, before), after) in clone.Graph.WithBodies().ToList().Zip(wide.Graph.WithBodies().ToList()).Zip(changed.Graph.WithBodies().ToList()))
        {
            var values = after.Initializer.ToDictionary(t => t.Name);
            foreach (var tensor in mine.Initializer.Where(t => values.ContainsKey(t.Name)).ToList())
            {
                if (Renewed(clone, tensor, changed, values[tensor.Name]) is { } renewed)
                    GraphEdit.ReplaceInitializer(mine, tensor, renewed);
            }

            var offset = ReferenceEquals(mine, clone.Graph) ? first : 0;
            for (var n = 0; n < mine.Node.Count; n++)
            {
                var (node, was, now) = (mine.Node[n], before.Node[n + offset], after.Node[n + offset]);
                for (var i = 0; i < now.Input.Count; i++)
                {
                    if (was.InputOrEmpty(i) == now.Input[i])
                        continue;
                    // Of the type that it takes the place of.
                    var type = (DataType?)clone.Graph.WithBodies().SelectMany(g => g.Initializer).FirstOrDefault(t => t.Name == node.InputOrEmpty(i))?.DataType;
                    if (!mine.Initializer.Any(t => t.Name == now.Input[i]))
                        mine.Initializer.Add(type == DataType.Float ? Copy(clone, changed, values[now.Input[i]], now.Input[i]) : Narrow(clone, changed, values[now.Input[i]], now.Input[i]));
                    node.SetInput(i, now.Input[i]);
                }

                foreach (var (attribute, value) in node.Attribute.Zip(now.Attribute))
                {
                    if (attribute.T is { } tensor && Renewed(clone, tensor, changed, value.T) is { } renewed)
                        attribute.T = renewed;
                }
            }
        }

        UnusedInitializers.Remove(clone.Graph);
        return clone;
    }

    /// <summary>A tensor with new values in its own type; null where they cannot be others.</summary>
    private static TensorProto? Renewed(OnnxModel model, TensorProto tensor, OnnxModel from, TensorProto values) => ((DataType)tensor.DataType, (DataType)values.DataType) switch
    {
        (DataType.Float16, DataType.Float) => Narrow(model, from, values, tensor.Name),
        (DataType.Float, DataType.Float) => Copy(model, from, values, tensor.Name),
        (DataType.Float16, DataType.Float16) => Narrow(model, from, values, tensor.Name),
        _ => null,
    };

    private static TensorProto Copy(OnnxModel model, OnnxModel from, TensorProto tensor, string name) => model.CreateTensor(name, tensor.Dims, from.ReadFloats(tensor));

    private static TensorProto Narrow(OnnxModel model, OnnxModel from, TensorProto tensor, string name) =>
        model.CreateTensor<Half>(name, DataType.Float16, tensor.Dims, Array.ConvertAll(from.ReadFloats(tensor), v => (Half)v));
}
