using ModelBuildTasks.Engine.Data;
using ModelBuildTasks.Engine.Diagnostics;
using ModelBuildTasks.Engine.Execution;
using ModelBuildTasks.Engine.Manifest;
using ModelBuildTasks.Engine.Onnx;
using ModelBuildTasks.Engine.Passes;
using Tensor = ModelBuildTasks.Engine.Data.Tensor;

namespace ModelBuildTasks.Engine.Tests.Passes.Distillation;

/// <summary>Data and measures that tests of distillation share.</summary>
internal static class DistillNetworks
{
    public static PassContext Context(OnnxModel teacher, IDataset data) => new(RuntimePolicies.Get("ort-cpu"), []) { Training = data, Teacher = teacher };

    public static float[] Weight(OnnxModel model, string name) => model.ReadFloats(model.Graph.Initializer.First(t => t.Name == name));

    public static void Refused(string code, Action run)
    {
        var error = Assert.ThrowsExactly<ModelBuildException>(run).First;
        Assert.AreEqual(code, error.Code, error.Message);
    }

    /// <summary>The mean squared difference of a value of two models on samples that nothing was trained on, relative to its mean square.</summary>
    public static double Error(OnnxModel model, OnnxModel reference, params long[] shape)
    {
        var (x, y) = (Answer(model, shape), Answer(reference, shape));
        return x.Zip(y).Average(p => (p.First - p.Second) * (p.First - p.Second)) / y.Average(v => v * v);
    }

    public static float[] Answer(OnnxModel model, params long[] shape)
    {
        using var session = new Session(model, new SessionSettings());
        return session.Run(new Dictionary<string, Tensor> { ["x"] = SmallModel.Tensor(999, shape) })["y"].ToFloats();
    }
}

/// <summary>Samples of random numbers of a shape.</summary>
internal sealed class RandomSamples(int count, params long[] shape) : IDataset
{
    public long Count => count;

    public bool HasLabels => false;

    public string Description => "random samples";

    public string ContentHash => "";

    public IEnumerable<Batch> Batches() =>
        Enumerable.Range(0, count).Select(i => new Batch(new Dictionary<string, Tensor> { ["x"] = SmallModel.Tensor(i, [1, .. shape]) }, null, 1));
}
