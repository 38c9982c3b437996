using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using ModelBuildTasks.Engine.Tests.Passes.Quantization;

namespace ModelBuildTasks.Engine.Tests.Pipeline;

[TestClass]
public sealed class ConformanceCheckTests
{
    [TestMethod]
    public void What_the_passes_made_for_another_runtime_is_an_error_and_no_artifact()
    {
        using var bench = new Bench(Products().Model);
        bench.Target = bench.Target with { Runtime = RuntimePolicies.Get("litert"), Validation = null };
        bench.Pass = (model, context) => Quantize.Run(model, QuantizeTests.Plan(ActivationMode.Dynamic), QuantizeTests.Context());
        var result = bench.Run();
        Assert.AreEqual(DiagnosticCodes.DoesNotConform, result.Targets[0].Diagnostics.Single().Code);
        StringAssert.Contains(result.Targets[0].Diagnostics.Single().Message, "litert finds no ranges at run time");
        Assert.IsFalse(File.Exists(bench.Artifact));
    }

    [TestMethod]
    public void What_the_original_had_already_is_not_counted()
    {
        RulePlan[] first = [new(default, [], "MatMul_h", Quantize: false)];
        var half = Quantize.Run(Products().Model, QuantizeTests.Plan(ActivationMode.Dynamic), QuantizeTests.Context() with { Rules = first }).Model;
        var policy = RuntimePolicies.Get("litert");
        using var bench = new Bench(half);
        bench.Target = bench.Target with { Runtime = policy, Validation = null };
        bench.Pass = (model, context) => Quantize.Run(model, QuantizeTests.Plan(ActivationMode.None), context);
        var result = bench.Run();
        Assert.IsTrue(result.Succeeded, string.Join('\n', result.Targets[0].Diagnostics));
        Assert.AreEqual("compressed", result.Report.Targets[0].Outcome);
        using var made = OnnxModel.Load(bench.Artifact);
        Assert.IsNotEmpty(Engine.Passes.Conformance.Check(made, policy));
    }

    private static SmallModel Products() => new SmallModel().Input("x", 4, 64).Random("w", 1, 64, 64).Random("v", 2, 64, 64)
        .Node("MatMul", "x,w", "h").Node("MatMul", "h,v", "y").Output("y", ModelBuildTasks.Engine.Onnx.TensorProto.Types.DataType.Float);
}
