using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.CleanupSteps;

/// <summary>
/// Folds <c>BatchNormalization</c> in its inference form, gamma·(y − mean)/sqrt(var + epsilon) + beta, into the <c>Conv</c>,
/// <c>ConvTranspose</c>, <c>Gemm</c> or <c>MatMul</c> before it (ONNX operator specification, BatchNormalization).
/// </summary>
internal static class BatchNormalizations
{
    public static StepResult Apply(OnnxModel model, InferredTypes types, NameAllocator names)
    {
        var decisions = new List<Decision>();
        foreach (var index in GraphEdit.Indexes(model))
        {
            var removed = GraphEdit.Set<NodeProto>();
            foreach (var node in index.Graph.Node.Where(n => n.Is("BatchNormalization")))
            {
                var name = node.DisplayName();
                var bytes = node.Input.Skip(1).Sum(i => index.Constant(i) is { } t ? model.ByteLength(t) : 0);
                var producer = index.Producer(node.InputOrEmpty(0));
                var into = producer is null ? "" : $"into {producer.OpType} '{producer.DisplayName()}'";
                var reason = Fold(model, index, types, names, node, producer, removed);
                decisions.Add(reason is null
                    ? new Decision(name, "BatchNormalization", "folded", into) { BytesBefore = bytes }
                    : new Decision(name, "BatchNormalization", StepResult.Left, reason) { BytesBefore = bytes, BytesAfter = bytes });
            }

            GraphEdit.RemoveNodes(index.Graph, removed);
        }

        return StepResult.Of(decisions);
    }

    /// <summary>Null when the node was folded, else why it was not.</summary>
    private static string? Fold(
        OnnxModel model, GraphIndex index, InferredTypes types, NameAllocator names, NodeProto node, NodeProto? producer, HashSet<NodeProto> removed)
    {
        if (!IsInference(model, index, node))
            return "it is in its training form";
        if (producer is null || !producer.IsStandard() || producer.OpType is not ("Conv" or "ConvTranspose" or "Gemm" or "MatMul"))
            return "no Conv, ConvTranspose, Gemm or MatMul comes before it";
        var value = node.Input[0];
        if (index.IsOutput(value) || index.Consumers(value).Count > 1)
            return $"others read the result of {producer.OpType} '{producer.DisplayName()}', too";
        if (Parameters(model, index, node) is not { } map)
            return "its parameters are not constant numbers";
        byte[]? shift = null;
        if (producer.Is("MatMul"))
        {
            if (types.Shape(producer.Input[0])?.Length != 2)
                return "the MatMul before it is not known to have two dimensions";
            if (index.Constant(producer.Input[1]) is not { } weight)
                return "the weight before it is not constant";
            shift = FloatValues.Write((DataType)weight.DataType, map.Shift);
            if (shift is null)
                return "its summand does not fit into the type of the MatMul before it";
        }

        if (new ChannelScale(model, index, names).Fold(producer, map) is { } reason)
            return reason;
        if (shift is not null)
        {
            var name = names.Next(node.Input[2]);
            index.Graph.Initializer.Add(model.CreateTensor(name, (DataType)index.Constant(producer.Input[1])!.DataType, [map.Shift.Length], shift));
            BecomeAdd(node, name);
            return null;
        }

        producer.Output[0] = node.Output[0];
        removed.Add(node);
        return null;
    }

    private static bool IsInference(OnnxModel model, GraphIndex index, NodeProto node)
    {
        if (model.Opset < 7 ? node.Int("is_test") == 0 : node.Int("training_mode") != 0)
            return false;
        return node.Int("spatial", 1) != 0 && node.Output.Skip(1).All(o => o.Length == 0 || !index.IsOutput(o) && index.Consumers(o).Count == 0);
    }

    /// <summary>The map that the node computes, or null where its parameters are not constants of one length.</summary>
    private static ChannelAffine? Parameters(OnnxModel model, GraphIndex index, NodeProto node)
    {
        if (node.Input.Count != 5)
            return null;
        var values = new double[4][];
        for (var i = 0; i < 4; i++)
        {
            if (ThroughIdentity(index, node.Input[i + 1]) is not { Dims.Count: 1 } tensor || !ElementTypes.IsFloat((DataType)tensor.DataType))
                return null;
            values[i] = FloatValues.Read(model, tensor);
            if (values[i].Length != values[0].Length)
                return null;
        }

        var epsilon = (double)node.Float("epsilon", 1e-5f);
        var (gamma, beta, mean, variance) = (values[0], values[1], values[2], values[3]);
        var scale = gamma.Zip(variance, (g, v) => g / Math.Sqrt(v + epsilon)).ToArray();
        var shift = scale.Select((s, c) => beta[c] - s * mean[c]).ToArray();
        return scale.All(double.IsFinite) && shift.All(double.IsFinite) ? new ChannelAffine(scale, shift) : null;
    }

    private static TensorProto? ThroughIdentity(GraphIndex index, string name)
    {
        while (index.Constant(name) is null && index.Producer(name) is { } producer && producer.Is("Identity"))
            name = producer.Input[0];
        return index.Constant(name);
    }

    /// <summary>A MatMul has no bias: what is left of the normalization is an addition.</summary>
    private static void BecomeAdd(NodeProto node, string shift)
    {
        var (value, result) = (node.Input[0], node.Output[0]);
        node.OpType = "Add";
        node.Attribute.Clear();
        node.Input.Clear();
        node.Input.AddRange([value, shift]);
        node.Output.Clear();
        node.Output.Add(result);
    }
}
