using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Pipeline;

namespace ModelBuildTasks.Engine.Tests.Pipeline;

[TestClass]
public sealed class InspectorTests
{
    [TestMethod]
    public void A_model_is_described_by_its_graph_and_weights()
    {
        using var bench = new Bench();
        var inspection = Inspector.Inspect(bench.ModelPath, RuntimePolicies.Get(RuntimePolicies.Default));
        Assert.AreEqual(new FileInfo(bench.ModelPath).Length, inspection.Size);
        Assert.AreEqual(17, inspection.Opsets["ai.onnx"]);
        CollectionAssert.AreEqual(new[] { "batch", "4" }, inspection.Inputs.Single().Shape!.ToArray());
        Assert.AreEqual("MatMul", inspection.Operators.Single().Op);
        Assert.AreEqual(1012, inspection.Weights.Single().Parameters);
        Assert.AreEqual("product", inspection.LargestLayers.Single().Name);
        Assert.AreEqual(48, inspection.LargestLayers.Single().Bytes);
        Assert.AreEqual(TinyModel.Ballast, inspection.LargestWeights[0].Name);
    }

    [TestMethod]
    public void Weights_in_bodies_are_seen()
    {
        var inspection = Inspector.Inspect(TestData.Path("silero-vad/silero_vad_16k_op15.onnx"), RuntimePolicies.Get(RuntimePolicies.Default));
        Assert.IsGreaterThan(0, inspection.WeightBytesByPlace.Values.Sum());
        Assert.IsGreaterThan(0, inspection.Int8.Layers);
        Assert.IsLessThan(inspection.Size, inspection.Int8.Size);
    }
}
