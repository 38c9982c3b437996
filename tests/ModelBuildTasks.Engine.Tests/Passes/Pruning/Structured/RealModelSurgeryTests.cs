using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Passes.Pruning.Structured;

namespace ModelBuildTasks.Engine.Tests.Passes.Pruning.Structured;

/// <summary>Surgery on trained models: a network with depthwise convolutions, a decoder with grouped queries, a detector of any image size.</summary>
[TestClass]
public sealed class RealModelSurgeryTests
{
    [TestMethod]
    [DataRow("digits_mobile/digits_mobile.onnx", 4, 0.99)]
    [DataRow("llama-aidreams/aidreams260k.onnx", 9, 0.9)]
    [DataRow("yunet/yunet_s_dynamic.onnx", 13, 0.95)]
    public void Half_of_every_group_goes_at_once(string path, int groups, double share)
    {
        using var original = OnnxModel.Load(TestData.Path(path));
        var model = Cleanup.Run(original, new PassContext(RuntimePolicies.Get("ort-cpu"), [])).Model;
        var analysis = ChannelAnalysis.Of(model, ValueTypes.Infer(model));
        Assert.HasCount(groups, analysis.Groups);
        Assert.IsGreaterThan(share, Share(model, analysis));
        var removed = analysis.Groups.ToDictionary(g => g.Id, g => (IReadOnlyList<int>)[.. Enumerable.Range(0, g.Units / 2).Select(i => 2 * i)]);
        // Free dimensions are 32 here, and something else in another run.
        var runs = new[] { 32, 64 }.Select(free => SurgeryProof.Inputs([.. original.Inputs.Select(i => (i.Name, Input(i, free)))])).ToArray();
        var cut = SurgeryProof.Prove(model, analysis, removed, runs, path);
        using var session = new Session(cut);
        CollectionAssert.AreEqual(original.Outputs.Select(o => o.Name).ToArray(), session.Outputs.Select(o => o.Name).ToArray());
    }

    private static Tensor Input(ValueDescription input, int free)
    {
        long[] shape = [.. input.Shape!.Select((d, a) => d >= 0 ? d : a == 0 ? free / 32 : free)];
        return input.Type == TensorProto.Types.DataType.Int64
            ? Tensor.Of<long>(input.Type, shape, [.. Enumerable.Range(0, (int)ElementTypes.Count(shape)).Select(i => i * 7L % 500)])
            : SmallModel.Tensor(free, shape);
    }

    private static double Share(OnnxModel model, ChannelAnalysis analysis)
    {
        double all = 0, stays = 0;
        foreach (var tensor in model.Graph.Initializer.Where(t => t.DataType == (int)TensorProto.Types.DataType.Float))
        {
            var left = (double)ElementTypes.Count(tensor.Dims);
            all += left;
            foreach (var axis in analysis.Groups.SelectMany(g => g.Slices).Where(s => s.Tensor == tensor.Name).GroupBy(s => s.Axis))
                left *= 1 - (double)axis.Sum(s => s.Indices.Sum(i => i.Length)) / tensor.Dims[axis.Key];
            stays += left;
        }

        return 1 - stays / all;
    }
}
