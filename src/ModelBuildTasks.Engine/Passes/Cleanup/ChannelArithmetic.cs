using ModelBuildTasks.Engine.Onnx;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Passes.CleanupSteps;

/// <summary>
/// Folds <c>Mul</c>, <c>Div</c>, <c>Add</c> and <c>Sub</c> with one constant a channel (or one for all) into the <c>Conv</c> or
/// <c>ConvTranspose</c> before them: batch normalization as some exporters take it apart.
/// </summary>
internal static class ChannelArithmetic
{
    public static StepResult Apply(OnnxModel model, NameAllocator names)
    {
        var decisions = new List<Decision>();
        foreach (var index in GraphEdit.Indexes(model))
        {
            var removed = GraphEdit.Set<NodeProto>();
            foreach (var node in index.Graph.Node.Where(n => n.IsStandard() && n.OpType is "Mul" or "Div" or "Add" or "Sub" && n.Input.Count == 2))
            {
                if (Operand(index, node) is not var (convolution, constant) || removed.Contains(convolution))
                    continue;
                var folding = new ChannelScale(model, index, names);
                if (folding.Channels(convolution) is not { } channels || Map(model, node.OpType, constant, channels, index.Constant(convolution.Input[1])!.Dims.Count) is not { } map)
                    continue;
                var (name, into) = (node.DisplayName(), $"into {convolution.OpType} '{convolution.DisplayName()}'");
                if (folding.Fold(convolution, map) is not null)
                    continue;
                convolution.Output[0] = node.Output[0];
                removed.Add(node);
                decisions.Add(new Decision(name, node.OpType, "folded", into) { BytesBefore = model.ByteLength(constant) });
            }

            GraphEdit.RemoveNodes(index.Graph, removed);
        }

        return StepResult.Of(decisions);
    }

    /// <summary>The convolution that only this node reads, and the constant beside it.</summary>
    private static (NodeProto Convolution, TensorProto Constant)? Operand(GraphIndex index, NodeProto node)
    {
        var commutes = node.OpType is "Mul" or "Add";
        for (var i = 0; i < (commutes ? 2 : 1); i++)
        {
            var value = node.Input[i];
            if (index.Producer(value) is { } producer && (producer.Is("Conv") || producer.Is("ConvTranspose")) && producer.Output[0] == value
                && !index.IsOutput(value) && index.Consumers(value).Count == 1 && index.Constant(node.Input[1 - i]) is { HasPayloadRef: true } constant)
                return (producer, constant);
        }

        return null;
    }

    private static ChannelAffine? Map(OnnxModel model, string op, TensorProto constant, int channels, int rank)
    {
        // One value a channel: right-aligned with the convolution's result, only axis 1 may be longer than 1.
        var skipped = rank - constant.Dims.Count;
        if (skipped < 0 || !ElementTypes.IsFloat((DataType)constant.DataType))
            return null;
        for (var i = 0; i < constant.Dims.Count; i++)
        {
            if (constant.Dims[i] != 1 && (skipped + i != 1 || constant.Dims[i] != channels))
                return null;
        }

        var values = FloatValues.Read(model, constant);
        double[] PerChannel(Func<double, double> f) => [.. Enumerable.Range(0, channels).Select(c => f(values[values.Length == 1 ? 0 : c]))];
        var map = op switch
        {
            "Mul" => new ChannelAffine(PerChannel(v => v), new double[channels]),
            "Div" => new ChannelAffine(PerChannel(v => 1 / v), new double[channels]),
            "Add" => new ChannelAffine(PerChannel(_ => 1), PerChannel(v => v)),
            _ => new ChannelAffine(PerChannel(_ => 1), PerChannel(v => -v)),
        };
        return map.Scale.All(double.IsFinite) && map.Shift.All(double.IsFinite) ? map : null;
    }
}
