using Google.Protobuf.Collections;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Onnx;

/// <summary>Makes the copy of a model that ONNX Runtime infers types on.</summary>
internal static class InferenceModel
{
    /// <summary>Weights beyond this are hidden from inference, which needs their type and shape only. Shape constants are smaller.</summary>
    private const long LargestKept = 1024;

    /// <summary>
    /// The model with its large weights turned into inputs, every value listed in <c>value_info</c>, and a reason for ONNX
    /// Runtime to write the graph anew.
    /// </summary>
    public static OnnxModel Of(OnnxModel model)
    {
        var clone = model.Clone();
        HideWeights(clone);
        foreach (var graph in clone.Graph.WithBodies().ToList())
            ListValues(graph);
        ForceRewrite(clone);
        return clone;
    }

    private static void HideWeights(OnnxModel model)
    {
        var graph = model.Graph;
        var inputs = graph.Input.ToDictionary(i => i.Name);
        Move(graph.Initializer, i => i.Name, i => i);
        Move(graph.Node, n => n.Output.FirstOrDefault() ?? "", n => n.Is("Constant") ? n.Attribute("value")?.T : null);

        void Move<T>(RepeatedField<T> list, Func<T, string> name, Func<T, TensorProto?> value)
        {
            var kept = new List<T>();
            foreach (var item in list)
            {
                if (value(item) is { } tensor && model.ByteLength(tensor) > LargestKept)
                    Declare(name(item), tensor);
                else
                    kept.Add(item);
            }

            list.Clear();
            list.AddRange(kept);
        }

        void Declare(string name, TensorProto tensor)
        {
            if (!inputs.TryGetValue(name, out var input))
                graph.Input.Add(input = inputs[name] = new ValueInfoProto { Name = name });
            input.Type = new TypeProto { TensorType = new() { ElemType = tensor.DataType, Shape = new() } };
            input.Type.TensorType.Shape.Dim.AddRange(tensor.Dims.Select(d => new TensorShapeProto.Types.Dimension { DimValue = d }));
        }
    }

    /// <summary>ONNX Runtime fills in the types of listed values. As outputs they would have to be of a type that C# knows.</summary>
    private static void ListValues(GraphProto graph)
    {
        var listed = graph.Output.Concat(graph.ValueInfo).Concat(graph.Input).Select(o => o.Name).ToHashSet();
        foreach (var name in graph.Node.SelectMany(n => n.Output).Where(n => n.Length > 0 && listed.Add(n)))
            graph.ValueInfo.Add(new ValueInfoProto { Name = name });
    }

    /// <summary>
    /// A graph that ONNX Runtime has not touched is written back as it was read, without the inferred types. An operator on
    /// half floats that its CPU provider has for floats only makes it insert casts.
    /// </summary>
    private static void ForceRewrite(OnnxModel model)
    {
        if (!model.Proto.OpsetImport.Any(o => o.Domain is "" or "ai.onnx"))
            model.Opset = OpsetUpgrade.Newest;
        var names = new NameAllocator(model);
        var (half, result) = (names.Next("half"), names.Next("half_result"));
        model.Graph.Node.Add(GraphExtensions.Node("Constant", [], [half])
            .Set("value", model.CreateTensor<Half>("", DataType.Float16, [1], [Half.Zero])));
        model.Graph.Node.Add(GraphExtensions.Node("Softsign", [half], [result]));
        model.Graph.Output.Add(new ValueInfoProto { Name = result });
    }
}
