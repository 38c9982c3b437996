using ModelBuildTasks.Engine.Onnx;

namespace ModelBuildTasks.Engine.Tests.Pipeline;

/// <summary>What becomes of a target whose result is no gain.</summary>
[TestClass]
public sealed class FallbackTests
{
    [TestMethod]
    public void A_result_that_is_not_smaller_gives_way_to_clean_up_alone()
    {
        using var bench = new Bench();
        bench.CleanUp = (model, _) => new(TinyModel.Shrink(model), [], "took the ballast away");
        bench.Pass = (model, _) => Bench.Done(Grow(model));
        var result = bench.Run();

        var report = result.Report.Targets[0];
        Assert.AreEqual("compressed", report.Outcome);
        StringAssert.Contains(report.OutcomeReason, "clean-up alone");
        Assert.AreEqual("left", report.Layers.Single().Decision);
        Assert.AreEqual(200, report.Validation!.Metrics.Single(m => m.Name == "sqnr").Compressed);
        Assert.IsLessThan(report.Model.Size, report.Artifact!.Size);
        Assert.IsEmpty(result.Targets[0].Diagnostics);
    }

    [TestMethod]
    public void When_nothing_is_smaller_the_original_is_kept_byte_for_byte()
    {
        using var bench = new Bench { Pass = (model, _) => Bench.Done(Grow(model)) };
        var result = bench.Run();

        Assert.AreEqual("original", result.Report.Targets[0].Outcome);
        CollectionAssert.AreEqual(File.ReadAllBytes(bench.ModelPath), File.ReadAllBytes(bench.Artifact));
        Assert.IsEmpty(result.Targets[0].Diagnostics);
    }

    [TestMethod]
    public void A_pass_that_could_do_nothing_warns_with_its_reason()
    {
        using var bench = new Bench { Pass = (model, _) => new(model.Clone(), [new("product", "MatMul", "left", "too small")], "nothing") };
        var warning = bench.Run().Targets[0].Diagnostics.Single();
        Assert.AreEqual("compression.yaml(5,9): warning MBT2006: Tiny: quantize could do nothing with this model: too small", warning.ToString());
    }

    [TestMethod]
    public void A_large_result_of_a_model_with_external_data_gives_way_to_the_original_in_one_file()
    {
        using var bench = new Bench();
        using (var model = OnnxModel.Load(bench.ModelPath))
            ModelWriter.Save(model, bench.File("external.onnx"), inlineLimit: 0);
        bench.Target = bench.Target with { ModelPath = bench.File("external.onnx") };
        bench.CleanUp = (model, _) => Bench.Done(Grow(model));
        bench.Pass = (model, _) => Bench.Done(Grow(model));
        var result = bench.Run();

        Assert.AreEqual("original", result.Report.Targets[0].Outcome);
        using var artifact = OnnxModel.Load(bench.Artifact);
        CollectionAssert.AreEqual(TinyModel.Weights, artifact.ReadFloats(artifact.Graph.Initializer[0]));
        Assert.IsFalse(File.Exists(bench.Artifact + ".data"));
        Assert.IsGreaterThanOrEqualTo(result.Report.Targets[0].Artifact!.Size, result.Report.Targets[0].Model.Size);
    }

    private static OnnxModel Grow(OnnxModel model)
    {
        var clone = model.Clone();
        clone.Graph.Initializer.Add(clone.CreateTensor("more" + clone.Graph.Initializer.Count, [5000], new float[5000]));
        return clone;
    }
}
