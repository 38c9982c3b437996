using ModelBuildTasks.Engine.Autodiff;
using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Passes.DistillationSteps;

/// <summary>
/// Draws a model's weights anew: uniform with the variance of He et al. (Delving Deep into Rectifiers, 2015) before rectifiers and of Glorot and
/// Bengio (Understanding the Difficulty of Training Deep Feedforward Neural Networks, 2010) elsewhere; biases become 0, gains 1. What prepares inputs
/// before any product, such as the mean and the deviation of photos, was not trained and stays.
/// </summary>
internal static class FreshWeights
{
    /// <summary>A copy of the model with new weights.</summary>
    /// <param name="model">The model.</param>
    /// <param name="seed">The seed. Each weight has its own numbers by its place, whatever its name.</param>
    public static OnnxModel Draw(OnnxModel model, ulong seed)
    {
        var clone = model.Clone();
        var index = new GraphIndex(clone, clone.Graph);
        var tensors = clone.Graph.Initializer.ToDictionary(t => t.Name);
        // In the order in which nodes read them: the order of initializers says nothing.
        var read = clone.Graph.Node.SelectMany(n => n.Input).Where(tensors.ContainsKey).Distinct().ToList();
        var parameters = Parameters.Of(clone).Except(Preparations(clone)).ToHashSet();
        var stream = 0ul;
        foreach (var name in read.Where(parameters.Contains))
        {
            var tensor = tensors[name];
            var values = new float[ElementTypes.Count(tensor.Dims)];
            Fill(values, index, tensor, SplitMix64.Stream(seed, ++stream));
            GraphEdit.ReplaceInitializer(clone.Graph, tensor, clone.CreateTensor(name, tensor.Dims, values));
        }

        return clone;
    }

    /// <summary>The constants that meet inputs, or what was made of them without a product.</summary>
    private static HashSet<string> Preparations(OnnxModel model)
    {
        // Values that are made of inputs, and of them those that no product stands before.
        var made = model.Inputs.Select(i => i.Name).ToHashSet();
        var raw = new HashSet<string>(made);
        var met = new HashSet<string>();
        foreach (var node in model.Graph.Node)
        {
            if (!node.Input.Any(made.Contains))
                continue;
            made.UnionWith(node.Output);
            if (node.OpType is "Conv" or "ConvTranspose" or "MatMul" or "Gemm" or "Einsum" or "Gather" or "LSTM" or "GRU" or "RNN" || node.Input.Any(i => made.Contains(i) && !raw.Contains(i)))
                continue;
            raw.UnionWith(node.Output);
            if (node.OpType is "Add" or "Sub" or "Mul" or "Div")
                met.UnionWith(node.Input.Where(i => !made.Contains(i)));
        }

        return met;
    }

    private static void Fill(float[] values, GraphIndex index, TensorProto tensor, SplitMix64 random)
    {
        var (node, input) = Reader(index, tensor.Name);
        var dims = tensor.Dims.Select(d => (double)d).ToArray();
        if (dims.Count(d => d > 1) < 2 && !(node.OpType is "Conv" or "ConvTranspose" or "MatMul" or "Gemm" && input < 2))
        {
            Array.Fill(values, IsGain(node, input) ? 1 : 0);
            return;
        }

        var (into, outOf) = Fans(node, input, dims);
        var variance = node.Is("Gather") ? 0.02 * 0.02 : IsBeforeRectifier(index, node) ? 2 / into : 2 / (into + outOf);
        // A uniform distribution over ±a has variance a²/3; no logarithm or cosine of a platform has a part in it.
        var bound = Math.Sqrt(3 * variance);
        for (var i = 0; i < values.Length; i++)
            values[i] = (float)(((2 * random.NextDouble()) - 1) * bound);
    }

    private static (NodeProto Node, int Input) Reader(GraphIndex index, string name)
    {
        var node = index.Consumers(name)[0];
        return node.OpType is "Identity" or "Transpose" or "Reshape" or "Squeeze" or "Unsqueeze" && index.Consumers(node.Output[0]).Count > 0
            ? Reader(index, node.Output[0]) : (node, node.Input.IndexOf(name));
    }

    private static bool IsGain(NodeProto node, int input) =>
        node.OpType is "Mul" or "Div" || (node.OpType.EndsWith("Normalization", StringComparison.Ordinal) && input == 1);

    private static (double In, double Out) Fans(NodeProto node, int input, double[] dims)
    {
        var kernel = dims.Skip(2).Aggregate(1.0, (a, b) => a * b);
        var groups = node.Int("group", 1);
        return node.OpType switch
        {
            "Conv" => (dims[1] * kernel, dims[0] * kernel / groups),
            "ConvTranspose" => (dims[0] * kernel / groups, dims[1] * kernel),
            "Gemm" => node.Int(input == 0 ? "transA" : "transB", 0) == (input == 0 ? 0 : 1) ? (dims[1], dims[0]) : (dims[0], dims[1]),
            "MatMul" when input == 0 => (dims[^1], dims[^2]),
            // [directions, gates · hidden, size]
            "LSTM" or "GRU" or "RNN" => (dims[^1], dims[^1]),
            _ when dims.Length > 1 => (dims[^2], dims[^1]),
            _ => (dims[^1], dims[^1]),
        };
    }

    private static bool IsBeforeRectifier(GraphIndex index, NodeProto node)
    {
        for (var depth = 0; depth < 4; depth++)
        {
            var readers = index.Consumers(node.Output[0]);
            if (readers.Any(r => r.OpType is "Relu" or "Clip" or "LeakyRelu" or "PRelu" or "Gelu" or "HardSwish" or "Elu" or "Selu" or "Mish"))
                return true;
            if (readers.FirstOrDefault(r => r.OpType is "Add" or "BatchNormalization") is not { } next)
                return false;
            node = next;
        }

        return false;
    }
}
