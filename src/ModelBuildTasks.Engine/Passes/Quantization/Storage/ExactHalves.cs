using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.Quantization.Storage;

/// <summary>Float constants whose values are all float16 numbers are stored as such, behind a Cast that the runtime computes when it loads the model: nothing is rounded.</summary>
internal static class ExactHalves
{
    // A node and its names.
    private const int Overhead = 60;

    private const int HeadLength = 256;

    /// <summary>Stores what is left in float in any graph and is float16 by value as float16.</summary>
    public static void Apply(RewriteContext context)
    {
        if (!context.Formats.FoldsConstants)
            return;
        foreach (var graph in context.Model.Graph.WithBodies().ToList())
            Apply(context, graph);
    }

    private static void Apply(RewriteContext context, GraphProto graph)
    {
        var model = context.Model;
        var listed = graph.Input.Select(i => i.Name).Concat(graph.Output.Select(o => o.Name)).ToHashSet();
        // Runtimes look at scales before they compute constants, and fuse nothing with one that is not there.
        listed.UnionWith(graph.WithBodies().SelectMany(g => g.Node).Where(n => n.OpType is "QuantizeLinear" or "DequantizeLinear").SelectMany(n => n.Input));
        var gone = GraphEdit.Set<TensorProto>();
        var nodes = new List<NodeProto>();
        foreach (var tensor in graph.Initializer.ToList())
        {
            if ((DataType)tensor.DataType != DataType.Float || model.ByteLength(tensor) / 2 <= Overhead || listed.Contains(tensor.Name) || !MayBe(model, tensor) || Halves(model.ReadFloats(tensor)) is not { } halves)
                continue;
            var stored = context.Add<Half>(graph, "h", DataType.Float16, tensor.Dims, halves);
            nodes.Add(GraphExtensions.Node("Cast", [stored], [tensor.Name]).Set("to", (long)DataType.Float));
            gone.Add(tensor);
        }

        GraphEdit.RemoveInitializers(graph, gone);
        nodes.AddRange(graph.Node);
        graph.Node.Clear();
        graph.Node.AddRange(nodes);
    }

    /// <summary>Whether a tensor's beginning is float16 by value: that of most is not, and the rest need not be read.</summary>
    private static bool MayBe(OnnxModel model, TensorProto tensor)
    {
        var head = new float[(int)Math.Min(HeadLength, model.ByteLength(tensor) / sizeof(float))];
        model.ReadFloats(tensor, 0, head);
        return Halves(head) is not null;
    }

    /// <summary>The values as float16, or null where one changes a bit.</summary>
    private static Half[]? Halves(float[] values)
    {
        var halves = new Half[values.Length];
        var back = new float[values.Length];
        TensorPrimitives.ConvertToHalf(values, halves);
        TensorPrimitives.ConvertToSingle(halves, back);
        return MemoryMarshal.AsBytes<float>(values).SequenceEqual(MemoryMarshal.AsBytes<float>(back)) ? halves : null;
    }
}
