using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Passes.DistillationSteps.Blocks;
using static ModelBuildTasks.Engine.Tests.Passes.Distillation.DistillNetworks;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Tests.Passes.Distillation;

[TestClass]
public sealed class ChannelMatchTests
{
    [TestMethod]
    public void Channels_that_are_left_are_found_again_by_what_they_hold()
    {
        var teacher = SmallModel.Tensor(1, 5, 9, 7);
        var exact = new ChannelMatch(1, [0, 3, 4, 8]).Take(teacher);
        CollectionAssert.AreEqual(new long[] { 5, 4, 7 }, exact.Shape);
        CollectionAssert.AreEqual(teacher.ToFloats()[((2 * 63) + 21)..((2 * 63) + 28)], exact.ToFloats()[((2 * 28) + 7)..((2 * 28) + 14)]);
        // With noise, too; values that have nothing to do with each other are not matched.
        var noise = SmallModel.Values(2, 140);
        var student = Tensor.Of<float>(DataType.Float, exact.Shape, [.. exact.ToFloats().Select((v, i) => v + (0.4f * noise[i]))]);
        CollectionAssert.AreEqual(new[] { 0, 3, 4, 8 }, ChannelMatch.Find(student, teacher, 1));
        Assert.IsNull(ChannelMatch.Find(SmallModel.Tensor(3, 5, 4, 7), teacher, 1));
        var last = new ChannelMatch(2, [1, 2, 6]).Take(teacher);
        CollectionAssert.AreEqual(new[] { 1, 2, 6 }, ChannelMatch.Find(last, teacher, 2));
    }

    [TestMethod]
    public void A_student_without_some_channels_is_trained_block_by_block()
    {
        var at = new SourceLocation("compression.yaml", 7, 9);
        using var teacher = Chain(24);
        var context = Context(teacher, new RandomSamples(24, 3, 6, 6));
        var pruned = Prune.Run(teacher, new PrunePlan(at, 0.3) { Structure = PruneStructure.Channels, Repair = PruneRepair.None, Allocation = PruneAllocation.Uniform, Method = PruneMethod.Magnitude, Multiple = 1 }, context with { Calibration = context.Training }).Model;
        Assert.IsLessThan(24, pruned.Graph.Initializer.First(t => t.Name == "w2").Dims[0]);
        var result = Distill.Run(pruned, new DistillPlan(at) { Method = DistillMethod.Blockwise, Epochs = 10, Batch = 8, LearningRate = 0.003 }, context);
        Assert.IsLessThan(0.7 * Error(pruned, teacher, 50, 3, 6, 6), Error(result.Model, teacher, 50, 3, 6, 6));
        StringAssert.Contains(result.Summary, "3 of 3 blocks with new weights");
    }

    private static OnnxModel Chain(int width)
    {
        var small = new SmallModel().Input("x", -1, 3, 6, 6);
        for (var i = 0; i < 6; i++)
        {
            var channels = i == 0 ? 3 : width;
            small.Floats($"w{i}", [width, channels, 3, 3], [.. SmallModel.Values(i, width * channels * 9).Select((v, k) => v * (1 + (k / (channels * 9) % 3)) / MathF.Sqrt(channels * 16))])
                .Node("Conv", $"{(i == 0 ? "x" : $"h{i}")},w{i}", $"c{i}", ("pads", new long[] { 1, 1, 1, 1 })).Node("Relu", $"c{i}", $"h{i + 1}");
        }

        return small.Random("v", 50, width, 5).Node("GlobalAveragePool", "h6", "g").Node("Flatten", "g", "f").Node("MatMul", "f,v", "z").Node("Tanh", "z", "y").Output("y").Model;
    }
}
