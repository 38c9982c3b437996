using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Tests.Passes.Quantization;
using DataType = ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType;

namespace ModelBuildTasks.Engine.Tests.Passes.HalfPrecision;

[TestClass]
public sealed class HalfComputeTests
{
    private static readonly Float16Plan Plan = new(new("test"));
    private static readonly PassContext Context = new(RuntimePolicies.Get("tensorrt"), []);

    [TestMethod]
    [DataRow("digits_mobile/digits_mobile.onnx", 50)]
    [DataRow("gtcrn/gtcrn_simple.onnx", 30)]
    [DataRow("iris/iris_network.onnx", 50)]
    [DataRow("llama-aidreams/aidreams260k.onnx", 40)]
    [DataRow("mnist/mnist.onnx", 50)]
    [DataRow("silero-vad/silero_vad_16k_op15.onnx", 40)]
    [DataRow("yunet/yunet_s_dynamic.onnx", 40)]
    public void A_real_model_computes_in_float16_and_answers_alike(string file, double least)
    {
        using var model = OnnxModel.Load(TestData.Path(file));
        var clean = Cleanup.Run(model, Context).Model;
        var result = Float16Pass.Run(clean, Plan, Context);
        Console.WriteLine(result.Summary);
        foreach (var g in result.Decisions.Where(d => d.What == "left").GroupBy(d => (d.Op, d.Reason)).OrderByDescending(g => g.Count()).Take(40))
            Console.WriteLine($"  {g.Count()} {g.Key.Op} ({g.First().Name}): {g.Key.Reason}");
        var sqnr = QuantizeTests.Sqnr(clean, result.Model, ListDataset.Random(clean, 3));
        Console.WriteLine($"  {sqnr:F1} dB, {clean.ToBytes().Length} -> {result.Model.ToBytes().Length}");
        Assert.IsGreaterThan(least, sqnr);
    }

    [TestMethod]
    public void Any_network_loads_and_answers_alike() => RandomGraphTests.Sample(small =>
    {
        var clean = Cleanup.Run(small.Model, Context).Model;
        var result = Float16Pass.Run(clean, Plan, Context);
        Assert.IsGreaterThan(50, QuantizeTests.Sqnr(clean, result.Model, ListDataset.Random(small.Model, 3)), result.Summary);
    }, 60);
}
