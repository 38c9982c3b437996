using ModelBuildTasks.Engine.Passes.DistillationSteps;

namespace ModelBuildTasks.Engine.Tests.Passes.Distillation;

[TestClass]
public sealed class FreshWeightsTests
{
    [TestMethod]
    public void What_prepares_inputs_stays()
    {
        var model = new SmallModel().Input("x", 2, 3, 4, 4).Floats("mean", [1, 3, 1, 1], 120, 115, 100).Floats("deviation", [1, 3, 1, 1], 58, 57, 56)
            .Random("kernel", 1, 4, 3, 3, 3).Random("dense", 2, 5, 4).Floats("bias", [5], 1, 2, 3, 4, 5).Random("gain", 4, 5)
            .Node("Sub", "x,mean", "a").Node("Div", "a,deviation", "b").Node("Conv", "b,kernel", "c").Node("GlobalAveragePool", "c", "d").Node("Flatten", "d", "e")
            .Node("Gemm", "e,dense,bias", "f", ("transB", 1)).Node("Mul", "f,gain", "y").Output("y").Model;

        var fresh = FreshWeights.Draw(model, 3);

        float[] of(Engine.Onnx.OnnxModel m, string name) => m.ReadFloats(m.Graph.Initializer.Single(t => t.Name == name));
        foreach (var name in new[] { "mean", "deviation" })
            CollectionAssert.AreEqual(of(model, name), of(fresh, name), name);
        foreach (var name in new[] { "kernel", "dense" })
            CollectionAssert.AreNotEqual(of(model, name), of(fresh, name), name);
        Assert.IsTrue(of(fresh, "bias").All(v => v == 0));
        Assert.IsTrue(of(fresh, "gain").All(v => v == 1));
    }
}
