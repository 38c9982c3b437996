using System.Numerics.Tensors;
using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.CleanupSteps;

/// <summary>y·<paramref name="Scale"/> + <paramref name="Shift"/> for each channel (axis 1) of a value.</summary>
/// <param name="Scale">One factor a channel.</param>
/// <param name="Shift">One summand a channel.</param>
internal sealed record ChannelAffine(double[] Scale, double[] Shift);

/// <summary>
/// Moves a per-channel affine map behind a <c>Conv</c>, <c>ConvTranspose</c>, <c>Gemm</c> or <c>MatMul</c> into the node's constant
/// weight and bias: W' = W·s and b' = b·s + t for each output channel, computed in double.
/// </summary>
internal sealed class ChannelScale(OnnxModel model, GraphIndex index, NameAllocator names)
{
    /// <summary>Output channels of a node with a constant weight, or null where it has none.</summary>
    public int? Channels(NodeProto node) => Layout(node) is { } layout ? layout.Outer.Max() + layout.Block : null;

    /// <summary>
    /// Folds the map into the node. Returns null when it is done, else why it cannot be. For a <c>MatMul</c>, which has no bias, only
    /// the scale is folded; the shift is left to the caller.
    /// </summary>
    public string? Fold(NodeProto node, ChannelAffine map)
    {
        if (Layout(node) is not { } layout)
            return "its weight is not constant";
        var weight = index.Constant(node.Input[1])!;
        if (layout.Outer.Max() + layout.Block != map.Scale.Length)
            return "it has another number of channels than the weight before it";
        var beta = node.Is("Gemm") ? (double)node.Float("beta", 1) : 1;
        double[] bias = [];
        if (!node.Is("MatMul") && Bias(node, map, beta, out bias) is { } reason)
            return reason;
        var type = (DataType)weight.DataType;
        // A weight that only gets a bias keeps its bytes, which may still lie in the file.
        var rescale = map.Scale.Any(s => s != 1);
        var scaled = rescale ? FloatValues.Write(type, Scaled(FloatValues.Read(model, weight), layout, map.Scale)) : [];
        var shifted = FloatValues.Write(type, bias);
        if (scaled is null || shifted is null)
            return $"the folded weight does not fit into {ElementTypes.Name(type)}";

        if (rescale)
            SetConstant(node, 1, weight.Name, type, weight.Dims, scaled);
        if (bias.Length > 0)
            SetConstant(node, 2, weight.Name + "_bias", type, [bias.Length], shifted);
        if (node.Is("Gemm"))
            node.RemoveAttribute("beta");
        return null;
    }

    /// <summary>The bias after folding; empty when there is none to store.</summary>
    private string? Bias(NodeProto node, ChannelAffine map, double beta, out double[] bias)
    {
        var name = node.InputOrEmpty(2);
        bias = [];
        if (name.Length == 0)
        {
            if (map.Shift.Any(t => t != 0))
                bias = map.Shift;
            return null;
        }

        if (index.Constant(name) is not { } tensor || !ElementTypes.IsFloat((DataType)tensor.DataType))
            return "the bias before it is not constant";
        var values = FloatValues.Read(model, tensor);
        var channels = map.Scale.Length;
        // A Gemm takes any C that broadcasts to its result; only those that are the same for each row are a bias.
        if (values.Length != 1 && (values.Length != channels || tensor.Dims[^1] != channels))
            return "the bias before it is not one value a channel";
        if (node.Is("Gemm") ? tensor.Dims.Count > 2 : values.Length != channels)
            return "the bias before it is not one value a channel";
        bias = new double[channels];
        for (var c = 0; c < channels; c++)
            bias[c] = map.Scale[c] * beta * values[values.Length == 1 ? 0 : c] + map.Shift[c];
        return null;
    }

    private static double[] Scaled(double[] values, WeightLayout layout, double[] scale)
    {
        var at = 0;
        foreach (var first in layout.Outer)
        {
            for (var c = 0; c < layout.Block; c++, at += layout.Inner)
            {
                var part = values.AsSpan(at, layout.Inner);
                TensorPrimitives.Multiply(part, scale[first + c], part);
            }
        }

        return values;
    }

    /// <summary>Stores an input's new values: in place where nothing else reads the old ones, else as a tensor of the node's own.</summary>
    private void SetConstant(NodeProto node, int input, string name, DataType type, IEnumerable<long> dims, byte[] raw)
    {
        var current = node.InputOrEmpty(input);
        var own = current.Length == 0 ? null : index.Graph.Initializer.FirstOrDefault(t => ReferenceEquals(t, index.Constant(current)));
        if (own is not null && !index.IsOutput(current) && !index.IsInput(current) && index.Consumers(current).Count == 1 && node.Input.Count(i => i == current) == 1)
        {
            GraphEdit.ReplaceInitializer(index.Graph, own, model.CreateTensor(current, type, dims, raw));
            return;
        }

        var fresh = names.Next(current.Length > 0 ? current : name);
        index.Graph.Initializer.Add(model.CreateTensor(fresh, type, dims, raw));
        node.SetInput(input, fresh);
    }

    private WeightLayout? Layout(NodeProto node)
    {
        if (!node.IsStandard() || node.Input.Count < 2 || index.Constant(node.Input[1]) is not { } weight || !ElementTypes.IsFloat((DataType)weight.DataType))
            return null;
        var dims = weight.Dims;
        var count = ElementTypes.Count(dims);
        // An array holds at most 2^31 values; a weight beyond that is left.
        if (dims.Count < 2 || count is 0 or > 0x7FFF_FFC7)
            return null;
        var kernel = (int)dims.Skip(2).Aggregate(1L, (a, d) => a * d);
        switch (node.OpType)
        {
            case "Conv" when dims.Count >= 3:
                return new([0], (int)dims[0], (int)dims[1] * kernel);
            case "ConvTranspose" when dims.Count >= 3:
                var groups = node.Int("group", 1);
                if (groups < 1 || dims[0] % groups != 0)
                    return null;
                var perGroup = (int)(dims[0] / groups);
                return new([.. Enumerable.Range(0, (int)dims[0]).Select(c => c / perGroup * (int)dims[1])], (int)dims[1], kernel);
            case "Gemm" when dims.Count == 2 && node.Int("transB") != 0:
                return new([0], (int)dims[0], (int)dims[1]);
            case "Gemm" or "MatMul" when dims.Count == 2:
                return new(new int[dims[0]], (int)dims[1], 1);
            default:
                return null;
        }
    }

    /// <summary>Where output channels lie in a weight: for each outer row, <paramref name="Block"/> channels of <paramref name="Inner"/> values each, the first being <paramref name="Outer"/>[row].</summary>
    private sealed record WeightLayout(int[] Outer, int Block, int Inner);
}
