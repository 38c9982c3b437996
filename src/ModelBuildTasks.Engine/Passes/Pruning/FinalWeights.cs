using Microsoft.ML.OnnxRuntime;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.Pruning;

/// <summary>What the weights of a finished model are, whatever form they are stored in: they are found by the node that computed with them, and decoded by the runtime.</summary>
internal sealed class FinalWeights
{
    // Casts, scales, biases and a pair of quantization stand between a weighted node and what its result was called.
    private const int MostSteps = 8;

    private readonly OnnxModel _model;
    private readonly List<GraphIndex> _indexes;
    private readonly Dictionary<(int Graph, string Value), float[]?> _known = [];

    public FinalWeights(OnnxModel model) => (_model, _indexes) = (model, [.. GraphEdit.Indexes(model)]);

    /// <summary>The weight of a node in the order it was in; null where the node is not found again, or its weight is not constant.</summary>
    /// <param name="graph">The number of the graph that the node was in.</param>
    /// <param name="node">The node as it was.</param>
    /// <param name="input">Which of its inputs is the weight.</param>
    /// <param name="dims">The weight's dimensions.</param>
    /// <param name="behind">What activations behind it made of its result: the one or the other name is left where an activation was taken in.</param>
    public float[]? Read(int graph, NodeProto node, int input, long[] dims, IEnumerable<string> behind)
    {
        if (graph >= _indexes.Count || Find(_indexes[graph], node, [node.Output[0], .. behind]) is not { } now)
            return null;
        var at = now.OpType == "DynamicQuantizeLSTM" ? input : now.OpType.StartsWith("MatMul", StringComparison.Ordinal) && input == 0 ? 0 : Math.Min(input, now.Input.Count - 1);
        if (Value(_indexes[graph], now.Input[at]) is not { } values || values.Length != ElementTypes.Count(dims))
            return null;
        return Turned(node, now) && dims.Length >= 2 ? Turn(values, dims) : values;
    }

    private static bool IsWeighted(NodeProto node) => node.OpType is "Conv" or "ConvTranspose" or "MatMul" or "Gemm" or "LSTM" or "GRU" or "RNN" or "MatMulInteger" or "ConvInteger" or "DynamicQuantizeLSTM";

    // By its name, else behind what now makes its result.
    private static NodeProto? Find(GraphIndex index, NodeProto node, IEnumerable<string> results)
    {
        if (node.Name.Length > 0 && index.Graph.Node.Where(n => n.Name == node.Name && IsWeighted(n)).Take(2).ToList() is [var named])
            return named;
        foreach (var result in results)
        {
            var name = result;
            for (var step = 0; step < MostSteps && index.Producer(name) is { } made; step++)
            {
                if (IsWeighted(made))
                    return made;
                if (made.Input.Count == 0)
                    break;
                name = made.Input[0];
            }
        }

        return null;
    }

    // Integer products take a weight [in, out], whatever way around it was; the dynamic LSTM takes [in, gates].
    private static bool Turned(NodeProto before, NodeProto now) => now.OpType == "DynamicQuantizeLSTM" || Transposed(before) != Transposed(now);

    private static bool Transposed(NodeProto node) => node.OpType == "Gemm" && node.Int("transB") != 0;

    /// <summary>Values of which the last two axes are the other way around, in the order of the dimensions.</summary>
    private static float[] Turn(float[] values, long[] dims)
    {
        var (rows, columns) = ((int)dims[^2], (int)dims[^1]);
        var result = new float[values.Length];
        for (var start = 0; start < values.Length; start += rows * columns)
        {
            for (var r = 0; r < rows; r++)
            {
                for (var c = 0; c < columns; c++)
                    result[start + r * columns + c] = values[start + c * rows + r];
            }
        }

        return result;
    }

    private float[]? Value(GraphIndex index, string name)
    {
        var key = (index.Home(name), name);
        if (!_known.TryGetValue(key, out var values))
            _known[key] = values = Constant(index, name) ?? Computed(index, name);
        return values;
    }

    private float[]? Constant(GraphIndex index, string name)
    {
        if (index.Constant(name) is not { } tensor)
            return null;
        return (DataType)tensor.DataType is DataType.Int8 ? [.. _model.ReadBytes(tensor).Select(b => (float)(sbyte)b)]
            : (DataType)tensor.DataType is DataType.Uint8 ? [.. _model.ReadBytes(tensor).Select(b => (float)b)]
            : ElementTypes.IsFloat((DataType)tensor.DataType) ? _model.ReadFloats(tensor) : null;
    }

    /// <summary>What the runtime makes of a value that depends on constants alone.</summary>
    private float[]? Computed(GraphIndex index, string name)
    {
        var part = new ModelProto { IrVersion = _model.Proto.IrVersion, Graph = new GraphProto { Name = "weight" } };
        part.OpsetImport.AddRange(_model.Proto.OpsetImport.Select(o => o.Clone()));
        var taken = new HashSet<string>();
        if (!Take(index, name, part.Graph, taken))
            return null;
        // A sparse initializer cannot be an output itself.
        var output = $"{name}_decoded";
        part.Graph.Node.Add(GraphExtensions.Node("Identity", [name], [output]));
        part.Graph.Output.Add(new ValueInfoProto { Name = output });
        try
        {
            using var session = new Session(new OnnxModel(part, _model.Payloads).ToBytes(), new SessionSettings(Threads: 1));
            float[]? values = null;
            session.Run(new Dictionary<string, Data.Tensor>(), [output], (_, type, _, bytes) => values = type switch
            {
                DataType.Float => System.Runtime.InteropServices.MemoryMarshal.Cast<byte, float>(bytes).ToArray(),
                DataType.Float16 => [.. System.Runtime.InteropServices.MemoryMarshal.Cast<byte, Half>(bytes).ToArray().Select(h => (float)h)],
                _ => null,
            });
            return values;
        }
        catch (OnnxRuntimeException)
        {
            return null;
        }
    }

    private bool Take(GraphIndex index, string name, GraphProto into, HashSet<string> taken)
    {
        if (name.Length == 0 || !taken.Add(name))
            return true;
        if (index.Constant(name) is { } tensor)
        {
            var copy = tensor.Clone();
            copy.Name = name;
            into.Initializer.Add(copy);
            return true;
        }

        if (index.Graph.SparseInitializer.FirstOrDefault(s => s.Values.Name == name) is { } sparse)
        {
            into.SparseInitializer.Add(sparse.Clone());
            return true;
        }

        var home = _indexes[index.Home(name)];
        if (home.Producer(name) is not { } node || node.Input.Count == 0 || node.Bodies().Any() || !node.Input.All(i => Take(home, i, into, taken)))
            return false;
        into.Node.Add(node.Clone());
        return true;
    }
}
