using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;

namespace ModelBuildTasks.Engine.Tests.Passes.Quantization.Search;

/// <summary>All places of an assignment rounded together are what the written model computes.</summary>
[TestClass]
public sealed class JointSimulationTests
{
    [TestMethod]
    [DataRow("digits_mobile/digits_mobile.onnx", ActivationMode.Auto)]
    [DataRow("mnist/mnist.onnx", ActivationMode.Uint8)]
    [DataRow("yunet/yunet_s_dynamic.onnx", ActivationMode.Uint8)]
    [DataRow("iris/iris_network.onnx", ActivationMode.Auto)]
    [DataRow("llama-aidreams/aidreams260k.onnx", ActivationMode.Auto)]
    [DataRow("gtcrn/gtcrn_simple.onnx", ActivationMode.None)]
    public void The_written_model_answers_as_the_simulation_does(string file, ActivationMode activations)
    {
        using var model = QuantizeTests.Clean(file);
        Check(model, QuantizeTests.Plan(activations));
    }

    [TestMethod]
    [DataRow(ActivationMode.Auto)]
    [DataRow(ActivationMode.Uint8)]
    [DataRow(ActivationMode.None)]
    public void Any_network_answers_as_the_simulation_does(ActivationMode activations) =>
        RandomGraphTests.Sample(small => Check(Cleanup.Run(small.Model, QuantizeTests.Context()).Model, QuantizeTests.Plan(activations)));

    private static void Check(OnnxModel model, QuantizePlan plan)
    {
        var data = ListDataset.Random(model, 4);
        var policy = RuntimePolicies.Get("ort-cpu");
        // A bias in int32 is no place of rounding of its own: what it adds is far below a step, but turns some codes over.
        var search = new SearchCase(model, data, plan, policy: policy with { Formats = policy.Formats with { QuantizedBias = false } });
        var assignment = search.Assign();
        var (simulated, written) = (search.Simulation.Build(assignment.Sources), search.Write(assignment));
        var noise = search.Probe.Sqnr(search.Probe.Noise(written));
        var agreement = SearchCase.Sqnr(simulated, written, data);
        Assert.IsGreaterThan(120, agreement, $"against {noise:F1} dB of noise");
        if (assignment.Sources.Count > 0)
            Assert.IsLessThan(150, noise, "nothing was rounded");
    }
}
