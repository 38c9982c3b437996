using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes.Quantization;

namespace ModelBuildTasks.Engine.Passes.Storage;

/// <summary>One way to store a tensor.</summary>
/// <param name="Name">What users call it.</param>
/// <param name="Payloads">The bytes of its tensors.</param>
/// <param name="Nodes">Nodes that decode it, without what tensors share.</param>
/// <param name="Write">Writes it; the caller removes the tensor.</param>
internal sealed record StoredForm(string Name, IReadOnlyList<byte[]> Payloads, int Nodes, Action<FormWriter> Write)
{
    // A node, a tensor's head and their names, as measured on written files; behind an encoder that has seen others like them.
    private const int NodeBytes = 60;
    private const int TensorBytes = 40;
    private const int EncodedBytes = 14;

    /// <summary>Σ (w − ŵ)² is 0, or the greatest |w − ŵ|.</summary>
    public double Error { get; init; }

    /// <summary>Bytes in the file.</summary>
    public long Bytes => Payloads.Sum(p => (long)p.Length) + Nodes * NodeBytes + Payloads.Count * TensorBytes;

    /// <summary>Bytes in an entropy-coded package.</summary>
    public long Encoded => Payloads.Sum(p => EncodedSize.Of(p)) + (Nodes + Payloads.Count) * EncodedBytes;
}

/// <summary>What a form needs to be written.</summary>
/// <param name="Context">Names and shared constants.</param>
/// <param name="Graph">The graph of the tensor.</param>
/// <param name="Tensor">The tensor.</param>
/// <param name="Nodes">Gets what decodes it.</param>
internal sealed record FormWriter(RewriteContext Context, GraphProto Graph, TensorProto Tensor, List<NodeProto> Nodes)
{
    /// <summary>Adds a node with one output of a fresh name.</summary>
    public string Node(string op, params string[] inputs)
    {
        var result = Context.Fresh("i");
        Nodes.Add(GraphExtensions.Node(op, inputs, [result]));
        return result;
    }

    /// <summary>Adds a Cast with an output of a fresh name.</summary>
    public string Cast(string value, TensorProto.Types.DataType type)
    {
        var result = Node("Cast", value);
        Nodes[^1].Set("to", (long)type);
        return result;
    }

    /// <summary>Gives the last node's output the tensor's name.</summary>
    public void End() => Nodes[^1].Output[0] = Tensor.Name;
}
