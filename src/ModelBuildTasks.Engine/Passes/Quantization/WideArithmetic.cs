using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.Quantization;

/// <summary>
/// Float16 arithmetic as float32, for runtimes without float16 kernels, which convert at every operator: the model computes in float32, and
/// its inputs and outputs stay float16 behind one Cast each. Constants are widened exactly; what is not quantized is stored as float16 again,
/// see <see cref="Storage.ExactHalves"/>.
/// </summary>
internal static class WideArithmetic
{
    // Attributes that name an element type.
    private static readonly HashSet<string> _types = ["to", "dtype", "output_datatype", "output_dtype"];

    /// <summary>A widened copy, or null where nothing is float16 or something cannot be widened: foreign operators, sparse constants, constants that are outputs.</summary>
    public static OnnxModel? Apply(OnnxModel model)
    {
        var graphs = model.Graph.WithBodies().ToList();
        var stored = Stored(graphs);
        if (!graphs.Any(g => g.Initializer.Any(t => IsHalf(t) && !stored.Contains(t.Name)) || g.Input.Any(i => IsHalf(i.Type))) || !graphs.TrueForAll(CanWiden)
            || model.Graph.Output.Any(o => !model.Graph.Node.Any(n => n.Output.Contains(o.Name))))
        {
            return null;
        }

        var clone = model.Clone();
        var names = new NameAllocator(clone);
        foreach (var graph in clone.Graph.WithBodies().ToList())
        {
            foreach (var tensor in graph.Initializer.Where(t => IsHalf(t) && !stored.Contains(t.Name)).ToList())
                GraphEdit.ReplaceInitializer(graph, tensor, Wide(clone, tensor));
            foreach (var attribute in graph.Node.SelectMany(n => n.Attribute))
            {
                if (attribute.I == (long)DataType.Float16 && _types.Contains(attribute.Name))
                    attribute.I = (long)DataType.Float;
                if (attribute.T is { } value && IsHalf(value))
                    attribute.T = Wide(clone, value);
            }

            foreach (var info in graph.ValueInfo.Concat(ReferenceEquals(graph, clone.Graph) ? [] : graph.Input.Concat(graph.Output)))
                Widen(info.Type);
        }

        Borders(clone.Graph, names);
        return clone;
    }

    /// <summary>What is float16 in the file only: nothing but Casts reads it.</summary>
    private static HashSet<string> Stored(IEnumerable<GraphProto> graphs)
    {
        var (cast, read) = (new HashSet<string>(), new HashSet<string>());
        foreach (var graph in graphs)
        {
            read.UnionWith(graph.Output.Select(o => o.Name));
            foreach (var node in graph.Node)
                (node.Is("Cast") && node.Int("to") == (long)DataType.Float ? cast : read).UnionWith(node.Input);
        }

        cast.ExceptWith(read);
        return cast;
    }

    private static bool CanWiden(GraphProto graph) =>
        graph.SparseInitializer.Count == 0 && graph.Node.All(n => n.IsStandard() || n.Domain == "com.microsoft");

    private static void Borders(GraphProto graph, NameAllocator names)
    {
        var map = new Dictionary<string, string>();
        var (first, last) = (new List<NodeProto>(), new List<NodeProto>());
        foreach (var input in graph.Input.Where(i => IsHalf(i.Type) && graph.Initializer.All(t => t.Name != i.Name)))
        {
            map[input.Name] = names.Next($"{input.Name}_float");
            first.Add(Cast(input.Name, map[input.Name], DataType.Float));
        }

        // An input that was listed for its initializer has the initializer's type.
        foreach (var input in graph.Input.Where(i => IsHalf(i.Type) && !map.ContainsKey(i.Name)))
            Widen(input.Type);
        foreach (var output in graph.Output.Where(o => IsHalf(o.Type)))
        {
            map[output.Name] = names.Next($"{output.Name}_float");
            last.Add(Cast(map[output.Name], output.Name, DataType.Float16));
        }

        GraphEdit.ReplaceReads(graph, map);
        foreach (var node in graph.Node)
        {
            for (var i = 0; i < node.Output.Count; i++)
                node.Output[i] = map.GetValueOrDefault(node.Output[i], node.Output[i]);
        }

        var middle = graph.Node.ToList();
        graph.Node.Clear();
        graph.Node.AddRange([.. first, .. middle, .. last]);
    }

    private static NodeProto Cast(string from, string to, DataType type) => GraphExtensions.Node("Cast", [from], [to]).Set("to", (long)type);

    private static TensorProto Wide(OnnxModel model, TensorProto tensor) => model.CreateTensor<float>(tensor.Name, DataType.Float, tensor.Dims, model.ReadFloats(tensor));

    private static bool IsHalf(TensorProto tensor) => (DataType)tensor.DataType == DataType.Float16;

    private static bool IsHalf(TypeProto? type) => type?.TensorType is { } tensor && (DataType)tensor.ElemType == DataType.Float16;

    private static void Widen(TypeProto? type)
    {
        if (IsHalf(type))
            type!.TensorType.ElemType = (int)DataType.Float;
        if (type?.SequenceType is { } sequence)
            Widen(sequence.ElemType);
        if (type?.OptionalType is { } optional)
            Widen(optional.ElemType);
    }
}
